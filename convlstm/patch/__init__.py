"""Frames to scaled, folded and split windows."""
