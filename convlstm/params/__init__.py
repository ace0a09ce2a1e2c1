"""The values of params.yaml, checked before any work."""
