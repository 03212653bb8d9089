"""One version on every replica: the load, what each replica does in it, and the alias that the fleet follows."""
