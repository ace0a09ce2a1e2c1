"""Tests: evaluate."""
