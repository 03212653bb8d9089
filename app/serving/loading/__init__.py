"""From a version in the registry to a model that is ready to serve, in a child process that may fail."""
