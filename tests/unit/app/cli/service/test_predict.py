import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_wine
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import DataError, MantaError, ParameterError
from tests.support.json_object import JsonObject
from tests.support.json_server import json_server
from tests.support.predict_service import number_model, service

WINE: pd.DataFrame = load_wine(as_frame=True).data
TEXT_MODEL = {
    "model_loaded": True,
    "model_info": {"version": "7"},
    "columns": ["city", "age", "rooms", "is_new", "built"],
    "column_types": ["string", "double", "long", "boolean", "datetime"],
    "optional_columns": ["age"],
    "classes": ["no", "yes"],
}


def first_values(body: JsonObject) -> JsonObject:
    return {"predictions": [row[0] for row in body["features"]]}


def run(*arguments: str, stdin: bytes | str = "") -> str:
    """Run `manta predict`, and return its standard output. Errors are raised."""
    result = CliRunner().invoke(cli, ["predict", *arguments], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_csv_file_is_predicted_in_batches_with_the_exact_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = WINE.sample(2500, replace=True, random_state=1)
    rows[WINE.columns[::-1]].to_csv(tmp_path / "rows.csv", index=False)

    with service(monkeypatch, number_model(list(WINE.columns)), first_values) as bodies:
        output = run("rows.csv")

    assert [len(body["features"]) for body in bodies] == [1000, 1000, 500]
    assert [row for body in bodies for row in body["features"]] == rows.to_numpy().tolist()
    assert output.splitlines() == ["prediction", *map(str, rows[WINE.columns[0]])]


def test_text_quoted_newlines_and_missing_cells_are_sent_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(
        'built,rooms,city,age,is_new,note\n2020-01-02,3,"New\nYork",41.5,True,x\n2021-02-03,4,007,,0,y\n'
    )

    with service(monkeypatch, TEXT_MODEL, lambda _: {"predictions": ["no", "yes"]}) as bodies:
        output = run("rows.csv")

    assert bodies == [
        {
            "rows": [
                {"city": "New\nYork", "age": 41.5, "rooms": 3, "is_new": True, "built": "2020-01-02"},
                {"city": "007", "age": None, "rooms": 4, "is_new": False, "built": "2021-02-03"},
            ]
        }
    ]
    assert output == "prediction\nno\nyes\n"


def test_an_optional_column_may_be_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("built,rooms,city,is_new\n2020-01-02,3,Rome,true\n")

    with service(monkeypatch, TEXT_MODEL, lambda _: {"predictions": ["no"]}) as bodies:
        run("rows.csv")

    assert bodies == [{"rows": [{"city": "Rome", "rooms": 3, "is_new": True, "built": "2020-01-02"}]}]


def test_a_parquet_file_is_predicted_to_a_parquet_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "city": pd.Categorical(["Rome", "Oslo"]),
            "age": [None, 3.5],
            "rooms": [3, 2**53 + 1],
            "is_new": [True, False],
            "built": pd.to_datetime(["2020-01-02", "2021-02-03T04:05:06"], format="ISO8601"),
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    answer = {
        "predictions": ["no", "yes"],
        "probabilities": [[0.75, 0.25], [0.5, 0.5]],
        "margin": [[1.0, 2.0], [3.0, 4]],
    }

    with service(monkeypatch, TEXT_MODEL, lambda _: answer) as bodies:
        run("rows.parquet", "--output", "answers.parquet")

    assert [list(row.values()) for row in bodies[0]["rows"]] == [
        ["Rome", None, 3, True, "2020-01-02T00:00:00"],
        ["Oslo", 3.5, 2**53 + 1, False, "2021-02-03T04:05:06"],
    ]
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    assert answers.to_dict("list") == {
        "prediction": ["no", "yes"],
        "probability_no": [0.75, 0.5],
        "probability_yes": [0.25, 0.5],
        "margin_no": [1.0, 3.0],
        "margin_yes": [2.0, 4.0],
    }


@pytest.mark.parametrize(
    ("described", "answer", "columns"),
    [
        (
            {"classes": [], "output_classes": [["no", "yes"], [1, 2, 3]]},
            {
                "predictions": [["no", 3], ["yes", 1]],
                "output_probabilities": [[[0.5, 0.5], [0.25, 0.25, 0.5]], [[0.0, 1.0], [1.0, 0.0, 0.0]]],
            },
            {
                "prediction_0": ["no", "yes"],
                "prediction_1": [3, 1],
                "probability_0_no": [0.5, 0.0],
                "probability_0_yes": [0.5, 1.0],
                "probability_1_1": [0.25, 1.0],
                "probability_1_2": [0.25, 0.0],
                "probability_1_3": [0.5, 0.0],
            },
        ),
        (
            {"classes": ["a", "b", "c"]},
            {"predictions": ["a", "b"], "decision": [[1.5, 0.5, -1.0], [0.0, 2.0, 1.0]]},
            {"prediction": ["a", "b"], "decision_a": [1.5, 0.0], "decision_b": [0.5, 2.0], "decision_c": [-1.0, 1.0]},
        ),
        (
            {"classes": []},
            {"predictions": [1.5, 2.5], "std": [0.1, 0.2]},
            {"prediction": [1.5, 2.5], "std": [0.1, 0.2]},
        ),
    ],
    ids=["several outputs", "decisions by class", "standard deviations"],
)
def test_what_else_a_model_answers_has_columns_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, described: JsonObject, answer: JsonObject, columns: JsonObject
) -> None:
    WINE.head(2).to_csv(tmp_path / "rows.csv", index=False)

    with service(monkeypatch, number_model(list(WINE.columns)) | described, lambda _: answer):
        run("rows.csv", "--output", "answers.parquet")

    assert pd.read_parquet(tmp_path / "answers.parquet").to_dict("list") == columns


def test_a_compressed_csv_file_and_standard_input_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    WINE.head(3).to_csv(tmp_path / "rows.csv.gz", index=False)

    with service(monkeypatch, number_model(list(WINE.columns)), first_values):
        from_file = run("rows.csv.gz", "--output", "answers.csv")
        from_stdin = run("-", stdin=(tmp_path / "rows.csv.gz").read_bytes())

    assert (from_file, from_stdin) == ("", (tmp_path / "answers.csv").read_text())
    with (tmp_path / "answers.csv").open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == [str(value) for value in WINE.iloc[:3, 0]]


def test_all_rows_are_predicted_again_when_the_version_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    WINE.sample(2500, replace=True, random_state=1).to_csv(tmp_path / "rows.csv", index=False)
    versions = iter(["7", "8", "8", "8", "8"])

    def answer(body: JsonObject) -> JsonObject:
        version = next(versions)
        model["model_info"] = {"version": version}
        return first_values(body) | {"model_version": version}

    model = number_model(list(WINE.columns))
    with service(monkeypatch, model, answer) as bodies:
        result = CliRunner().invoke(cli, ["predict", "rows.csv"], catch_exceptions=False)

    assert len(bodies) == 5
    assert len(result.stdout.splitlines()) == 2501
    assert result.stderr == (
        "Version 8 was loaded in place of version 7 while rows.csv was predicted. Starting again.\n"
    )


def test_nothing_is_written_when_the_version_keeps_changing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    WINE.sample(2500, replace=True, random_state=1).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "answers.csv").write_text("of an earlier run")
    versions = iter(map(str, range(7, 100)))

    with (
        service(
            monkeypatch,
            number_model(list(WINE.columns)),
            lambda body: first_values(body) | {"model_version": next(versions)},
        ),
        pytest.raises(MantaError, match=r"Version 9 was loaded in place of version 7.*Nothing was written"),
    ):
        run("rows.csv", "--output", "answers.csv")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "rows.csv"]
    assert (tmp_path / "answers.csv").read_text() == "of an earlier run"


def test_rows_that_exceed_the_limit_of_a_request_are_divided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frame = pd.DataFrame([[float(column) for column in range(700)]] * 1000, columns=[f"c{i}" for i in range(700)])
    frame.to_parquet(tmp_path / "wide.parquet")

    with service(monkeypatch, number_model(list(frame.columns)), first_values) as bodies:
        run("wide.parquet")

    assert [len(body["features"]) for body in bodies] == [500, 500]


def test_an_error_of_the_service_names_the_rows_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    WINE.sample(1500, replace=True, random_state=1).to_csv(tmp_path / "rows.csv", index=False)
    problem = {"detail": "Row 3 is bad.", "next_step": "Correct it."}
    routes = {
        "GET /fastapi_app/model": lambda _: number_model(list(WINE.columns)),
        "POST /fastapi_app/predict": lambda body: (
            (422, problem) if len(body["features"]) < 1000 else first_values(body) | {"model_version": "7"}
        ),
    }

    with json_server(routes) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", url)

        with pytest.raises(MantaError, match=r"rows 1001 to 1500 of rows\.csv.*Row 3 is bad"):
            run("rows.csv")


def test_a_file_without_any_column_of_a_model_that_takes_missing_values_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("town,size\nRome,3\n")
    model = number_model(["a", "b"]) | {"optional_columns": ["a", "b"]}

    with (
        service(monkeypatch, model, dict) as bodies,
        pytest.raises(DataError, match="lacks columns of the model: a, b"),
    ):
        run("rows.csv")

    assert bodies == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("city,rooms,is_new\nRome,3,true\n", "lacks columns of the model: built"),
        ("built,rooms,city,is_new\n", "has no rows"),
        (
            "built,rooms,city,is_new\n2020-01-02,3,Rome,true\n2020-01-02,3.5,Rome,true\n",
            r"Row 2 .*'3.5'.*whole numbers",
        ),
        ("built,rooms,city,is_new\n2020-01-02,3,Rome,maybe\n", "'maybe' in column is_new, which takes true or false"),
        ("built,rooms,city,is_new\n1,2,3,1\n1,2,3,1,5\n", "cannot be read: Error tokenizing"),
        ("built,rooms,city,is_new\n1,2,3,1,5\n", "more values than its header has columns"),
        ("[[1, 2", "is not JSON"),
        ("PAR1 and no more", "cannot be read"),
    ],
)
def test_unusable_files_are_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "rows").write_text(content)

    with service(monkeypatch, TEXT_MODEL, dict) as bodies, pytest.raises(DataError, match=message):
        run("rows")

    assert bodies == []


def test_json_is_passed_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with service(monkeypatch, number_model(["a"]), lambda _: {"predictions": [1]}) as bodies:
        output = run("-", stdin="[[1.5]]")
        run("-", stdin='[{"a": 1.5}]')

    assert json.loads(output)["predictions"] == [1]
    assert bodies == [{"features": [[1.5]]}, {"rows": [{"a": 1.5}]}]


def test_an_output_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"answers\.txt has no known file ending.*\.csv or \.parquet"):
        run("rows.csv", "--output", "answers.txt")
