"""MJCF models of our own, read through `importlib.resources`."""
