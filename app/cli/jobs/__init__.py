"""Training jobs: where they go, what goes along, how they are followed and reproduced."""
