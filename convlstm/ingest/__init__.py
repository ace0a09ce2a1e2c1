"""Raw files of any kind to ordered, checked frames."""
