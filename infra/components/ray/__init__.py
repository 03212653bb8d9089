"""Ray: the KubeRay operator, the RayService, scheduled jobs, and the cleanup before a destroy."""
