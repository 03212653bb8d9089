import pytest

from app.errors import DataError, PlatformError
from app.settings import Settings
from app.training import job
from app.training.options import TrainOptions


def test_the_error_for_a_search_without_a_cluster_names_the_command_to_use() -> None:
    with pytest.raises(PlatformError, match=r"RAY_ADDRESS is not set.*manta train --trials"):
        job.train(TrainOptions(dataset="wine", trials=2), Settings(ray_address=None))


def test_too_few_rows_for_the_folds_are_refused_before_a_run_starts() -> None:
    options = TrainOptions(dataset="wine", trials=2, folds=20, test_size=0.7)

    with pytest.raises(DataError, match=r"fewer training rows than there are folds: 'class_0' \(19\)"):
        job.train(options, Settings(mlflow_tracking_uri="http://127.0.0.1:9", ray_address="127.0.0.1:9"))
