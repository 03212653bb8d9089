"""`manta train` and `manta reproduce`: choose a Ray cluster, submit a training job and follow it, repeat a run."""
