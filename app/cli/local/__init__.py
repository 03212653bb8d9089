"""`manta local`: MLflow, a Ray head and the Serve application as processes on one machine."""
