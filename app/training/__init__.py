"""The training job: options, data, search, fit, evaluation, and registration in MLflow."""
