"""The hyperparameter search: the tuner, its objective, and its runs in MLflow."""
