"""Forecasts from frames whose future is unknown."""
