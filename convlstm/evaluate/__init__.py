"""Forecasts of the test windows, scored beside the baselines."""
