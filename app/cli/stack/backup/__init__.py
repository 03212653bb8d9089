"""`manta backup` and `manta restore`: MLflow's databases and artifacts on the volume of a stack, as one archive."""
