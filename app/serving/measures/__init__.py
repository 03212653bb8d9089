"""What the versions of a replica did: requests, rows, errors, latencies and answers, counted without a server."""
