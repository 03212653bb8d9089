"""Many registered models with champions and tags, from a few forests."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from mlflow import MlflowClient

from app import names
from app.models.served_models import SERVE_TAG
from tests.support import fleet_models
from tests.support.fleet_models import fitted_forest
from tests.support.ray_cluster import Cluster

FORESTS: Final = 5
"""Different forests. The registered models share their files, so that a thousand models are registered in a second."""
TREES: Final = 100
TABLES: Final[dict[str, dict[str, object]]] = {
    "registered_models": {},
    "model_versions": {"version": 1},
    "registered_model_tags": {},
    "registered_model_aliases": {},
}
"""MLflow's tables of registered models, and the columns in which a copied row differs. MLflow's API would take minutes
for a thousand models."""


def register(cluster: Cluster, database: Path, count: int) -> list[str]:
    """Register the default model and the other models, with champions and tags."""
    client = MlflowClient(tracking_uri=cluster.mlflow_url, registry_uri=cluster.mlflow_url)
    for seed in range(FORESTS):
        fleet_models.register(cluster.mlflow_url, fitted_forest(seed, trees=TREES))
    client.set_registered_model_alias(names.MODEL_NAME, names.CHAMPION, "1")
    client.set_registered_model_tag(names.MODEL_NAME, SERVE_TAG, "true")
    models = [f"model-{index:04}" for index in range(count)]
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, changes in TABLES.items():
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]  # noqa: S608 - our names
            for index, name in enumerate(models):
                row = rows[index % len(rows)] | changes | {"name": name}
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
    return models
