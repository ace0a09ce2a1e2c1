"""Tests: params."""
