"""The version of the package, which a model file carries."""

VERSION = "0.2.0"
