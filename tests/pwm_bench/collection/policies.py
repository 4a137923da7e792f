"""Policies that tests name on the command line."""

from __future__ import annotations

import torch


def lean(suite):
    """Pushes every component by 0.1 for each task index, starting at 0.1."""

    def act(obs, task):
        assert obs.shape == (len(task), suite.obs_dim)
        return (0.1 + 0.1 * task.float()).unsqueeze(1).expand(-1, suite.action_dim) + torch.zeros(1, suite.action_dim)

    return act


def broken(suite):
    """A policy of the wrong shape."""
    return lambda obs, task: torch.zeros(len(task), suite.action_dim + 1)
