"""Tests of the fleet. They are a package, so that the cluster stops after the last of them."""
