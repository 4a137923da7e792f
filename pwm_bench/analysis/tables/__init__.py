"""Tables of runs and of scores."""
