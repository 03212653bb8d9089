"""The protocols that clients speak: how each one writes rows, answers and errors, and its paths."""
