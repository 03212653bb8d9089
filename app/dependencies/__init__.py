"""Checks of the services that Ray depends on, from inside of the cluster: DNS, the API server, Redis and MLflow.

`pulumi up` runs `python -m app.dependencies` in a Job before it creates the RayService, and `manta doctor` runs it in
the Ray head.
"""
