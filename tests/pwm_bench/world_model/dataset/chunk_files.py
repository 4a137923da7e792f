"""Writes small files in the formats of TD-MPC2's chunks, with and without the tensordict package."""

from __future__ import annotations

import pickle
import types

import numpy as np
import torch

from pwm_bench.world_model.dataset import TaskInfo

OBS_DIM, ACTION_DIM, ENTRIES = 6, 3, 11
TASKS = (
    TaskInfo(name="wide", obs_dim=6, action_dim=3, episode_length=10),
    TaskInfo(name="narrow", obs_dim=2, action_dim=1, episode_length=10),
)


def columns(episodes, seed=0, filler=float("nan")):
    """Columns of a chunk whose tasks alternate; entry 0 holds fillers, and actions are noise beyond a task's own."""
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(episodes, ENTRIES, OBS_DIM)).astype(np.float32)
    obs[1::2, :, TASKS[1].obs_dim :] = 0.0
    action = rng.uniform(-1.0, 1.0, (episodes, ENTRIES, ACTION_DIM)).astype(np.float32)
    reward = rng.uniform(0.0, 2.0, (episodes, ENTRIES)).astype(np.float32)
    action[:, 0] = filler
    reward[:, 0] = filler
    task = np.tile((np.arange(episodes) % 2)[:, None], (1, ENTRIES))
    arrays = {"obs": obs, "action": action, "reward": reward, "task": task}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def save_plain(path, content):
    """A dictionary of tensors."""
    torch.save(content, path)


def save_tensordict(path, content):
    """A TensorDict, by the package itself."""
    from tensordict import TensorDict

    torch.save(TensorDict(content, batch_size=list(content["reward"].shape)), path)


class _OldKeys(dict):
    """Columns, in a dictionary class of the package."""


class _OldTensorDict:
    """Pickles as the TensorDict of 2023 did: an object with a state."""

    def __init__(self, content):
        self._content = content

    def __getstate__(self):
        keys = _OldKeys(self._content)
        return {"_tensordict": keys, "_batch_size": self._content["reward"].shape, "_device": torch.device("cuda:0")}


class _Pickler(pickle._Pickler):
    """Writes the classes above under the names that they had in the package."""

    _NAMES = {_OldTensorDict: b"tensordict.tensordict\nTensorDict", _OldKeys: b"tensordict.tensordict\n_StringOnlyDict"}

    def save_global(self, obj, name=None):
        known = self._NAMES.get(obj) if isinstance(obj, type) else None
        if known is None:
            super().save_global(obj, name)
        else:
            self.write(pickle.GLOBAL + known + b"\n")
            self.memoize(obj)


def save_old_tensordict(path, content):
    """A TensorDict in the layout of 2023, without the package."""
    torch.save(_OldTensorDict(content), path, pickle_module=types.SimpleNamespace(__name__="pickle", Pickler=_Pickler))
