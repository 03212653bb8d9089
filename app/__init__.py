"""What runs in the cluster or on one machine: training and serving. It never imports `infra` or `pulumi`."""
