"""What every stage stands on: errors, signals, locks, and files that are whole or absent."""
