"""Container images: which references a stack uses, and what the built ones contain."""
