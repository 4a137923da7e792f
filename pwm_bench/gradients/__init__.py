"""Gradients as objects of study: whether they are right, and (later) how they compare."""
