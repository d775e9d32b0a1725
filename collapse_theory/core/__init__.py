"""Core: errors, numbers and their ranges, files and the doors upward. Knows nothing of the theory."""
