"""The training job's entry point: `python -m app.train`."""

import skops.io  # noqa: F401 - it searches every loaded module, so it is imported before MLflow's two thousand

from app.training.job import main

if __name__ == "__main__":
    main()
