"""The ground of every stage: errors, exits, signals, locks, and files that are whole or absent."""
