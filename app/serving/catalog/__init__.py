"""The models that one service answers for, by name."""
