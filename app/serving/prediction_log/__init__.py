"""What a replica answered, kept for feedback, drift and replay."""
