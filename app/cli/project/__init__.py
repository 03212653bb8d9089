"""`manta init`: a new project with a model, its data and a test."""
