"""MLflow: the Helm release, its values, and the volume beside it."""
