"""Evaluation: metrics and plots of a model, and the comparison with the champion."""
