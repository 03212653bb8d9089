"""Fakes and waiters that the tests share."""
