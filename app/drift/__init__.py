"""Drift of a version: how the logged rows, answers and scores differ from those of the training."""
