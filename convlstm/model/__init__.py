"""The network, its equations and its fast path, and the batches that feed it."""
