"""A rollout: a new version takes the traffic of the champion step by step, and goes back by itself if it is worse."""
