"""Tests: sums."""
