"""Extracted policies on the disk: one safetensors file with the weights of actors and critics, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.pwm.networks import make_actor, make_critic
from pwm_bench.store.plain import unreadable
from pwm_bench.store.seal import AlteredError
from pwm_bench.store.tensor_file import read_about, read_tensors, write_tensors
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["POLICIES", "PoliciesFile", "acting_extractor", "load_policies", "read_policies", "save_policies"]

POLICIES = "policies.safetensors"
"""The file's name in a run's directory."""
_KEY, _VERSION = "pwm_bench.policies", 1


@dataclass(frozen=True, kw_only=True)
class PoliciesFile:
    """What a file of policies says of itself."""

    experts: tuple[Expert, ...]
    """Task and seed of each."""
    config: ExtractionConfig
    """Settings that they were trained with."""
    model_tasks: tuple[str, ...]
    """Tasks of the world model that they were trained in, in its order."""
    model_digest: str
    """Hash of that world model's files."""


def save_policies(path: Path, extractor: Extractor, *, model_digest: str) -> None:
    """Writes the policies of an extraction.

    Args:
        path: the file.
        extractor: the population.
        model_digest: hash of the world model's files.
    """
    about = {
        "version": _VERSION,
        "experts": [list(expert) for expert in extractor.experts],
        "config": configs.to_json(extractor.config),
        "model_tasks": list(extractor.model_tasks),
        "model_digest": model_digest,
    }
    tensors = {
        f"{part}.{name}": value
        for part, network in _networks(extractor).items()
        for name, value in network.state_dict().items()
    }
    write_tensors(path, tensors, key=_KEY, about=about)


def read_policies(path: Path) -> PoliciesFile:
    """Reads what a file of policies says of itself, without its weights.

    Raises:
        UsageError: missing, damaged, or no such file.
    """
    try:
        about = read_about(path, key=_KEY)
        if not about["experts"]:
            raise UsageError(f"{path}: holds the policies of nobody")
        if about["version"] != _VERSION:
            raise UsageError(f"{path}: policies of version {about['version']}, this pwm-bench reads {_VERSION}")
        return PoliciesFile(
            experts=tuple(Expert(task, int(seed)) for task, seed in about["experts"]),
            config=configs.from_json(ExtractionConfig, about["config"], where=f"{path}: config"),
            model_tasks=tuple(about["model_tasks"]),
            model_digest=about["model_digest"],
        )
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; give the run directory of an extraction") from None
    except UsageError:
        raise
    except AlteredError as error:
        raise UsageError(f"{path}: {error}; restore it, or extract the policies again") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UsageError(f"{path}: holds no extracted policies; give the run directory of an extraction") from None


def load_policies(path: Path, model: MultitaskModel, *, model_digest: str) -> Extractor:
    """Loads policies, to act with and not to train on.

    Args:
        path: what `save_policies` wrote.
        model: the world model.
        model_digest: hash of its files.

    Raises:
        UsageError: missing, damaged, or trained in another world model.
    """
    about = read_policies(path)
    if about.model_digest != model_digest:
        raise UsageError(f"{path}: its policies were trained in another world model; give that one")
    try:
        tensors = read_tensors(path, key=_KEY)
        _fill(_shapes(about, model), tensors, assign=True)  # before memory is taken
        extractor = acting_extractor(model, about.experts, about.config)
        _fill(_networks(extractor), tensors)
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise UsageError(f"{path}: damaged ({error}); extract the policies again") from None
    return extractor


def acting_extractor(model: MultitaskModel, experts: Sequence[Expert], config: ExtractionConfig) -> Extractor:
    """A population to load weights into and to act with; it cannot be trained."""
    return Extractor(model, experts, configs.override(config, {"imitation": 0.0}), starts=_no_starts)


def _shapes(about: PoliciesFile, model: MultitaskModel) -> dict[str, torch.nn.Module]:
    """Networks of the sizes that a file's settings say, on the meta device."""
    config, latent = about.config.policy_config(), model.config.latent_dim
    stream = MemberStream(range(len(about.experts)), "meta")
    actor = make_actor(config, latent, model.config.action_dim, stream=stream)
    return {"actor": actor, "critic": make_critic(config, latent, stream=stream)}


def _fill(networks: Mapping[str, torch.nn.Module], tensors: Mapping[str, Tensor], *, assign: bool = False) -> None:
    for part, network in networks.items():
        own = {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}
        network.load_state_dict(own, assign=assign)


def _networks(extractor: Extractor) -> dict[str, torch.nn.Module]:
    return {"actor": extractor.policy.actor, "critic": extractor.policy.critic}


def _no_starts(stream: MemberStream, batch: int) -> Tensor:
    raise RuntimeError("these policies are not trained any further")
