"""What a model is: its files, signature, place in the registry, and how it answers."""
