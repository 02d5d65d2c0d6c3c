"""Real and released rows, read from files or the hub and checked against the counts of their task."""
