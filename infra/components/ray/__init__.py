"""Ray: the KubeRay operator, the RayService, scheduled training, and the cleanup before a destroy."""
