"""ConvLSTM forecasts of the next frames of anything that moves on a grid.

Nothing is imported here on purpose: a re-export would make every stage depend on every module, and
a change to a plot would retrain the network.
"""
