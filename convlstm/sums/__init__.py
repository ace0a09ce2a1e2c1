"""Sums over pixels by family, of frames of any batch, in torch on the device where they are."""
