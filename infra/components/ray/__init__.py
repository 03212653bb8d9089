"""Ray: the KubeRay operator, the RayService, scheduled training, and what a destroy cleans up."""
