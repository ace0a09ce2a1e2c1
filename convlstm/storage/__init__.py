"""The files between the stages: one module for each layout, its writer and its reader together."""
