"""`manta train`: the training job, submitted to the platform's Ray and followed to its end."""

import asyncio
from pathlib import Path
from typing import Final

from app.cli.client import Job
from app.cli.local import follow
from app.cli.target import Target
from app.options import TrainOptions
from app.settings import settings

HELP: Final = """Train a random forest as a Ray job, evaluate it on held-out rows and register it in MLflow.

Example: manta train --data houses.csv --target sold --trees 200
"""


def submit(chosen: TrainOptions) -> None:
    """Submit the job, print its output, and stop it on Ctrl-C.

    Raises:
        PlatformError: Ray does not take the job, or the job failed.
    """
    if chosen.data is not None and "://" not in chosen.data:
        # The job's working directory is another one.
        chosen = chosen.model_copy(update={"data": str(Path(chosen.data).resolve())})
    job = Job(Target.find(settings()), chosen.argv())
    try:
        asyncio.run(follow(job))
    except KeyboardInterrupt:
        job.stop()
        raise
