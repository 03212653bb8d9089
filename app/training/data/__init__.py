"""Training data: reading and checking rows, and holding out a test set."""
