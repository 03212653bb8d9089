"""Request bodies: their limits, and their conversion from JSON or npy to rows of numbers."""
