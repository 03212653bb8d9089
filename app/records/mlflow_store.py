"""The prediction log as artifacts of MLflow."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Final

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from app.models import registry_errors
from app.records.log_files import Kind, LogFile
from app.records.log_store import LogStore, damage_errors
from app.settings import Settings

EXPERIMENT_SUFFIX: Final = "-predictions"
"""End of the name of the experiment with the log: `manta-predictions` beside the trainings in `manta`."""

DAY_TAG: Final = "manta.log.day"
"""Tag of a run: the day whose files it holds, such as 2026-11-29."""

PAGE_SIZE: Final = 200
"""Number of runs in one answer of MLflow."""

MAX_RUNS: Final = 2_000
"""Maximum number of runs that one search returns."""

log = logging.getLogger(__name__)


class MlflowStore(LogStore):
    """Keeps the log as artifacts of MLflow: one run per day, or a few if replicas create them at the same time.

    Args:
        settings: URL of MLflow, and the experiment of the trainings.
    """

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.mlflow_tracking_uri
        self._client = mlflow.MlflowClient(tracking_uri=self._uri)
        self._experiment = settings.experiment + EXPERIMENT_SUFFIX
        self._run_ids: dict[date, str] = {}
        self._repositories: dict[LogFile, ArtifactRepository] = {}

    def put(self, file: LogFile, source: Path) -> None:
        """See `LogStore.put`."""
        run_id = self._run_ids.get(file.day) or self._find_or_create(file.day)
        try:
            self._client.log_artifact(run_id, str(source), str(PurePosixPath(file.path).parent))
        except Exception:
            self._run_ids.pop(file.day, None)  # the run may have been deleted
            raise

    def files(self, kind: Kind, *, since: datetime) -> list[LogFile]:
        """See `LogStore.files`."""
        with registry_errors.of_lookup(self._uri, "The prediction log cannot be listed."):
            files = []
            for run in self._runs_since(since.date()):
                repository = self._repository(run)
                for path in _walk(repository, kind):
                    file = LogFile.parse(path)
                    if file is not None and file.time_ms >= since.timestamp() * 1000:
                        self._repositories[file] = repository
                        files.append(file)
        return files

    def read(self, file: LogFile, folder: Path) -> pa.Table:
        """See `LogStore.read`."""
        with registry_errors.of_lookup(self._uri, f"The file {file.path} of the prediction log was deleted."):
            path = self._repositories[file].download_artifacts(file.path, str(folder))  # type: ignore[no-untyped-call] # MLflow gives it no types
        with damage_errors(file):
            return pq.read_table(path)

    def delete_before(self, day: date) -> None:
        """See `LogStore.delete_before`."""
        for run in self._search(f"attributes.start_time < {_to_ms(day)}"):
            self._repository(run).delete_artifacts()  # type: ignore[no-untyped-call] # MLflow gives it no types
            self._client.delete_run(run.info.run_id)
            log.info("the prediction log of %s was deleted", run.data.tags.get(DAY_TAG))

    def _find_or_create(self, day: date) -> str:
        runs = [run for run in self._runs_since(day) if run.data.tags.get(DAY_TAG) == day.isoformat()]
        if runs:
            run_id = min(run.info.run_id for run in runs)
        else:
            experiment = self._client.get_experiment_by_name(self._experiment)
            experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(self._experiment)
            run = self._client.create_run(
                experiment_id,
                start_time=_to_ms(day),
                tags={DAY_TAG: day.isoformat()},
                run_name=f"predictions of {day.isoformat()}",
            )
            run_id = run.info.run_id
            self._client.set_terminated(run_id)
        self._run_ids = {day: run_id}
        return str(run_id)

    def _runs_since(self, first: date) -> list[Run]:
        return self._search(f"attributes.start_time >= {_to_ms(first)}")

    def _search(self, condition: str) -> list[Run]:
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is None:
            return []
        runs: list[Run] = []
        token: str | None = None
        while len(runs) < MAX_RUNS:
            page = self._client.search_runs(
                [experiment.experiment_id], filter_string=condition, max_results=PAGE_SIZE, page_token=token
            )
            runs += [run for run in page if DAY_TAG in run.data.tags]
            token = page.token
            if not token:
                break
        return runs

    def _repository(self, run: Run) -> ArtifactRepository:
        return get_artifact_repository(str(run.info.artifact_uri), tracking_uri=self._uri)


def _walk(repository: ArtifactRepository, folder: str) -> Iterator[str]:
    """Yield the paths of all files below a folder."""
    for entry in repository.list_artifacts(folder):
        if entry.is_dir:
            yield from _walk(repository, entry.path)
        else:
            yield entry.path


def _to_ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
