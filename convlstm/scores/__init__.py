"""Scores by family; a score is one entry of its family."""
