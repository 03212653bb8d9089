"""Every configuration key: its type, its default, and the checks of a whole stack."""
