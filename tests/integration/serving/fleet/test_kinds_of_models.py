import httpx
import pytest

from tests.support.fleet_models import COLUMNS, REQUEST_ROWS, Versions
from tests.support.json_object import JsonObject
from tests.support.ray_cluster import Cluster

NAMED = [dict(zip(COLUMNS, row, strict=True)) for row in REQUEST_ROWS]


def predict(cluster: Cluster, **body: object) -> httpx.Response:
    return httpx.post(f"{cluster.api_url}/predict", json=body, timeout=30)


def test_rows_by_name_in_any_order_get_the_same_predictions_as_rows_by_position(
    cluster: Cluster, versions: Versions
) -> None:
    shuffled = [dict(reversed(row.items())) for row in NAMED]

    answers = [predict(cluster, rows=shuffled), predict(cluster, features=REQUEST_ROWS)]

    assert [answer.json()["probabilities"] for answer in answers] == [versions.answers[versions.first]] * 2
    assert answers[0].json()["predictions"] == answers[1].json()["predictions"]


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ({"length": 1, "width": 2}, ["Row 1 lacks 'height'"]),
        (NAMED[0] | {"depth": 1}, ["Row 1", "does not know: 'depth'"]),
        (NAMED[0] | {"width": "2"}, ["Row 1", "\"2\" in 'width'"]),
        (NAMED[0] | {"width": True}, ["true in 'width'"]),
        ({"length": 1, "breadth": 2, "height": None}, ["lacks 'width'", "'breadth'", "null in 'height'"]),
    ],
)
def test_the_error_names_each_invalid_column_of_a_row(
    cluster: Cluster, versions: Versions, row: JsonObject, texts: list[str]
) -> None:
    assert cluster.load(versions.pipeline).is_success  # unlike a forest, it takes no missing values

    answer = predict(cluster, rows=[NAMED[0], row])

    assert answer.status_code == 422
    assert [text for text in texts if text not in answer.json()["detail"]] == []


def test_a_pipeline_is_served(cluster: Cluster, versions: Versions) -> None:
    assert cluster.load(versions.pipeline).status_code == 200

    answer = predict(cluster, rows=NAMED).json()

    assert set(answer["predictions"]) <= {"big", "small"}
    assert answer["probabilities"] == predict(cluster, features=REQUEST_ROWS).json()["probabilities"]
    assert answer["model_version"] == versions.pipeline


def test_a_regressor_is_served_without_probabilities(cluster: Cluster, versions: Versions) -> None:
    assert cluster.load(versions.regressor).status_code == 200

    answer = predict(cluster, features=REQUEST_ROWS).json()

    assert [type(value) for value in answer["predictions"]] == [float] * 3
    assert answer["probabilities"] is None
    assert cluster.model()["classes"] == []


def test_a_model_with_text_columns_accepts_rows_in_both_forms(cluster: Cluster, versions: Versions) -> None:
    assert cluster.load(versions.text).status_code == 200
    rows = [{"colour": "red", "length": 1.5}, {"length": -2, "colour": "blue"}]

    answer, by_position, wrong = (
        predict(cluster, rows=rows),
        predict(cluster, features=[[1.5, "red"], [-2, "blue"]]),
        predict(cluster, rows=[{"colour": 7, "length": 1.5}]),
    )

    assert len(answer.json()["predictions"]) == 2, answer.text
    assert by_position.json()["probabilities"] == answer.json()["probabilities"]
    assert wrong.status_code == 422
    assert "text in 'colour'" in wrong.json()["allowed"]
