"""Gradients as objects of study: whether a simulator's is right, and how estimators of the policy gradient compare."""
