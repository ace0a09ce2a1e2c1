"""Models for other programs: ONNX, and a card that says what a model is."""
