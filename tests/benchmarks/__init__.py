"""Measurements, run by hand: `python -m tests.benchmarks.NAME`. pytest collects none of them."""
