"""Metrics of a model on held-out rows, and the gate that compares two models."""
