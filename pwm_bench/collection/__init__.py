"""Records episodes of many tasks into a dataset."""
