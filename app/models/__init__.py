"""Models: their files, signature and place in the registry, and how they predict."""
