"""Replays the prediction log: what a version would have answered in a period, beside what was answered then."""
