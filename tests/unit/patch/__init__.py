"""Tests: patch."""
