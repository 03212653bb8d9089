"""The hyperparameter search: the tuner, its objective, and its trials in MLflow."""
