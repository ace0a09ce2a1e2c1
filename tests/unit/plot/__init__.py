"""Tests: plot."""
