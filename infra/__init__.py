"""What exists in the cluster, as a Pulumi program. It never imports `app`."""
