"""A request body, JSON or npy, checked and turned into rows of numbers."""
