"""Synthetic sequences, so that a fresh clone needs no download."""
