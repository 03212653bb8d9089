"""Imports of these tests, in the fastest order."""

# skops searches every imported module for the functions of numpy and scipy, so it is imported before the others.
import skops.io  # noqa: F401 - imported for its effect
