"""Requests and model files that try to take the service down, and the measurements of their effect."""
