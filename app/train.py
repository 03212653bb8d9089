"""The training job's entry point: `python -m app.train`."""

from app.training.job import main

if __name__ == "__main__":
    main()
