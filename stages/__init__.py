"""The stages of the pipeline, run as `python -m stages.NAME` from the root of the repository."""
