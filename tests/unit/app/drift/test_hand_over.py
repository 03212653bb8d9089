"""The line with which the judging job hands a training over."""

import pytest

from app.drift.hand_over import Retraining
from app.errors import ParameterError, PlatformError
from app.training.options import TrainOptions

JUDGEMENT = "0123456789abcdef0123456789abcdef"


def test_a_training_survives_the_line() -> None:
    options = TrainOptions(data="s3://b/a b.csv", target='so"ld', set_=("a=1", "b=\n"), margin=-0.1, trees=7)
    retraining = Retraining(judgement=JUDGEMENT, options=options.model_copy(update={"trees": None, "model": "/m.py"}))

    line = retraining.to_line("manta-1")

    assert "\n" not in line
    assert Retraining.from_line(line, "manta-1") == retraining


@pytest.mark.parametrize("line", ["", "manta-1", "boats version 7: no drift", "manta-12 {}", " manta-1 {}", "{}"])
def test_any_other_line_hands_nothing_over(line: str) -> None:
    assert Retraining.from_line(line, "manta-1") is None


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        f'{{"judgement": "{JUDGEMENT}"}}',
        '{"judgement": "r1", "options": {}}',
        f'{{"judgement": "{JUDGEMENT}", "options": {{"shell": "x"}}}}',
        f'{{"judgement": "{JUDGEMENT}", "options": {{"trees": "many"}}}}',
        f'{{"judgement": "{JUDGEMENT}", "options": {{}}, "command": "x"}}',
    ],
)
def test_a_line_of_another_form_is_refused(content: str) -> None:
    with pytest.raises(PlatformError, match="handed over a training that this release cannot read"):
        Retraining.from_line(f"manta-1 {content}", "manta-1")


def test_options_that_exclude_each_other_are_refused() -> None:
    retraining = Retraining(judgement=JUDGEMENT, options=TrainOptions(dataset="iris", synthetic=True))

    with pytest.raises(ParameterError, match="--dataset and --synthetic"):
        Retraining.from_line(retraining.to_line("m"), "m")
