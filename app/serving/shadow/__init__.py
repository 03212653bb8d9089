"""A shadow: a version that answers copies of requests, so that its answers can be compared with those of the champion."""
