"""The Pulumi program, which registers every object in the cluster. It does not import `app`."""
