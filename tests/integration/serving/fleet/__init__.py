"""Tests of the fleet: a package, so that its cluster ends with the last of them."""
