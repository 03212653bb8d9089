"""The platform on one machine: MLflow, a Ray head and the Serve application as local processes."""
