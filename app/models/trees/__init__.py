"""Tree models as flat arrays, which compiled code evaluates with the very bits of the model's library."""
