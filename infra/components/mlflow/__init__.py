"""MLflow: its Helm release, the values of the chart, and the volume."""
