"""The training job: options, fitting, provenance, and registration in MLflow."""
