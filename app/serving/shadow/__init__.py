"""A shadow: a version that answers copies of requests, so that its answers are compared with those of the champion."""
