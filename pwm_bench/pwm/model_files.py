"""World models in files: those of one task, of one seed or several, with the critics that were trained beside them.

A file is safetensors: the tensors of the members one after the other along their first axis, and in its metadata, as
JSON, everything that is no tensor. Nothing in one is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.critic import CriticEnsemble
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.networks import make_critic
from pwm_bench.store.tensor_file import read_about, read_tensors, write_tensors
from pwm_bench.world_model.trained import TrainedModel

__all__ = ["MODEL_FILE", "read_critic", "read_model", "write_models"]

MODEL_FILE = "model.safetensors"
_KEY = "model"
_OF_EACH = ("reward_scale", "reward_shift", "description")
_CRITIC = "critic."


def write_models(
    path: Path, models: Sequence[TrainedModel], *, critic: CriticEnsemble | None = None, config: Config | None = None
) -> None:
    """Writes the world models of a population.

    Args:
        path: the file.
        models: one for each member, alike in their settings.
        critic: the members' critics, on the latents of these models.
        config: the settings that the critics were made of.
    """
    states = [model.state_dict() for model in models]
    weights = [state.pop("weights") for state in states]
    tensors = {name: torch.cat([one[name] for one in weights]) for name in weights[0]}
    about = states[0] if len(states) == 1 else states[0] | {n: [state[n] for state in states] for n in _OF_EACH}
    if critic is not None and config is not None:
        tensors |= {f"{_CRITIC}{name}": value for name, value in critic.state_dict().items()}
        about |= {"critic": configs.to_json(config)}
    write_tensors(path, tensors, key=_KEY, about=about)


def read_model(path: Path, *, member: int = 0, task: str | None = None) -> TrainedModel:
    """Reads one of the world models that `write_models` wrote; nothing in the file is run.

    Args:
        path: the file.
        member: which, by position.
        task: that it must be of, where the file says of which it is.

    Raises:
        UsageError: it is something else, damaged, of another task, or has no such member.
    """
    try:
        about, tensors = _read(path, member)
        own = {name: value for name, value in tensors.items() if not name.startswith(_CRITIC)}
        found = TrainedModel.from_state(about | {"weights": own})
    except UsageError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, IndexError, OverflowError) as error:
        raise _damaged(path, error) from None
    of = found.description.get("task", task)
    if task not in (None, of):
        raise UsageError(f"{path}: its world model is of task '{of}', not '{task}'; give a run of that task")
    return found


def read_critic(path: Path, *, member: int = 0) -> tuple[CriticEnsemble, Config]:
    """Reads the critic that was trained beside a world model, and the settings of its training.

    Args:
        path: the file.
        member: which, by position.

    Raises:
        UsageError: the model has no critic, or see `read_model`.
    """
    try:
        about, tensors = _read(path, member)
        if "critic" not in about:
            raise UsageError(
                f"{path}: a world model alone, which has no critic; leave the bootstrap out, or fit a value"
            )
        config = configs.from_json(Config, about["critic"], where=f"{path}: settings of the critic")
        # Whatever the settings say, no more memory is taken than the weights have.
        critic = make_critic(config, config.world_model.latent_dim, stream=MemberStream((0,), "meta"))
        own = {name.removeprefix(_CRITIC): value for name, value in tensors.items() if name.startswith(_CRITIC)}
        critic.load_state_dict(own, assign=True)
    except UsageError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, IndexError, OverflowError) as error:
        raise _damaged(path, error) from None
    return critic.requires_grad_(False), config


def _read(path: Path, member: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says, and its tensors, of one member."""
    if path.is_dir():
        raise UsageError(f"{path}: a world model of TD-MPC2's family; give that of a run of PWM or of train-model")
    about: Mapping[str, Any] = read_about(path, key=_KEY)
    if not isinstance(about, dict) or about["reward_scale"] == []:
        raise ValueError("it says nothing of a model")
    scales = about["reward_scale"]
    members = len(scales) if isinstance(scales, list) else 1
    if not 0 <= member < members:
        several = f"has members 0 to {members - 1}; name one of them"
        remedy = several if members > 1 else "holds one world model; leave the member out"
        raise UsageError(f"member={member}: {path} {remedy}")
    tensors = read_tensors(path, key=_KEY)
    if members == 1:
        return dict(about), tensors
    rows = {name: value.shape[0] // members for name, value in tensors.items()}
    own = {name: value[member * rows[name] : (member + 1) * rows[name]] for name, value in tensors.items()}
    return {**about, **{name: about[name][member] for name in _OF_EACH}}, own


def _damaged(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path}: not a world model of one task ({error}); give the directory of a run that leaves one")
