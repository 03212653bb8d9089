"""The Pulumi components of a stack, one per file, beside the pure functions that compute their resources."""
