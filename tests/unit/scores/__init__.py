"""Tests: scores."""
