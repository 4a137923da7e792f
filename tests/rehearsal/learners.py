"""Every learner at a size that takes a second, and the launches of one of its updates.

``python -m tests.rehearsal.learners`` prints the table anew: a change that adds launches must change it by hand.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from pwm_bench.registry import algorithms, learner_package
from pwm_bench.testing.learners import make
from tests.pwm_bench.pwm.factories import tiny_config
from tests.rehearsal.mirror import DEVICE, rehearsal

__all__ = ["COPIES", "LAUNCHES", "MORE", "UPDATES", "different", "learner", "measured", "weights"]

_SHORT: dict[str, Any] = {"num_envs": 4, "horizon": 5, "hidden_actor": (8,)}
_CRITIC: dict[str, Any] = _SHORT | {"hidden_critic": (8,), "critic_iterations": 2, "critic_minibatches": 2}
_STORED: dict[str, Any] = {"num_envs": 4, "horizon": 5, "batch_size": 16, "seed_steps": 2, "replay_capacity": 400}
SETTINGS: dict[str, dict[str, Any]] = {
    "apg": _SHORT,
    "shac": _CRITIC,
    "ahac": _CRITIC | {"min_horizon": 2, "stiffness_limit": 2.0, "horizon_learning_rate": 0.5},
    "sapo": _CRITIC,
    "rpo": _CRITIC | {"epochs": 3},
    "ivwh": _CRITIC,
    "dmo": _CRITIC
    | {"hidden_model": (16, 8), "model_batch_size": 16, "model_updates": 3, "initial_env_steps": 20}
    | {"initial_model_updates": 7, "replay_capacity": 400},
    "ppo": _SHORT | {"epochs": 2, "minibatches": 2, "hidden_critic": (16,)},
    "sac": _STORED | {"hidden_actor": (8,), "hidden_critic": (8,)},
    "flashsac": _STORED | {"horizon": 4, "width_actor": 8, "width_critic": 8, "blocks": 1, "atoms": 11},
    "tdmpc2": {"horizon": 2, "seed_steps": 2, "latent_dim": 16, "encoder_hidden": (8,), "hidden": (8,)}
    | {"critic_ensemble": 3, "episodic": True, "training": {"batch_size": 5, "horizon": 2}}
    | {"planner": {"samples": 16, "elites": 4, "policy_samples": 2, "iterations": 2, "horizon": 2}},
}
_EPISODES: dict[str, int] = {"tdmpc2": 2}
"""Their lengths, where learning begins when one is over."""
UPDATES = 4
"""Updates of a rehearsal; the last is watched. All learners learn by then; see `MORE`."""
MORE = {"dmo": 1, "tdmpc2": 1}
"""Further ones, until the same kind of update has come twice: DMO begins with a step of its model, and TD-MPC2 with
random steps and the updates for them."""

LAUNCHES: dict[str, int] = {
    "pwm": 1355,
    "shac": 943,
    "ahac": 1120,
    "sapo": 1250,
    "dmo": 1709,
    "rpo": 1208,
    "ivwh": 1066,
    "apg": 758,
    "ppo": 1276,
    "flashsac": 3090,
    "sac": 1926,
    "tdmpc2": 3101,
}
"""Kernels that a GPU launches in that update of two members on the point mass."""
COPIES: dict[str, dict[str, int]] = {"tdmpc2": {"copy_": 4}}
"""Copies from the host in it, none of which the host waits for: which Q functions are asked, in the plans and in the
steps of each member. They are drawn on the host."""


def learner(algorithm: str, device: torch.device | str = "cpu", **settings: Any) -> Any:
    """A learner of two members at that size.

    Args:
        algorithm: its name.
        device: of everything.
        settings: those that differ; ``world_model`` is a mapping of its own.
    """
    package: Any = learner_package(algorithm)
    if algorithm == "pwm":
        config, model = tiny_config(), settings.pop("world_model", {})
        config = replace(config, world_model=replace(config.world_model, **model), **settings)
    else:
        config = package.Config(**SETTINGS[algorithm] | settings)
    length = _EPISODES.get(algorithm)
    return make(package.Learner, config, (0, 1), device=device, episode_length=length)


def weights(agent: Any) -> dict[str, torch.Tensor]:
    """What a learner has learnt: its policy's weights, or those of all models where it acts by planning."""
    if agent.policy is not None:
        return dict(agent.policy.state_dict())
    models = ((number, member.model.state_dict()) for number, member in enumerate(agent.agents))
    return {f"{number}.{name}": value for number, model in models for name, value in model.items()}


def measured(algorithm: str) -> int:
    """The launches of the watched update."""
    with rehearsal() as seen:
        agent = learner(algorithm, DEVICE)
        for _ in range(UPDATES - 1 + MORE.get(algorithm, 0)):
            agent.update()
        with seen.watching():
            agent.update()
        return seen.launches.total()


def different(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that are not equal to the bit, NaN aside."""
    assert found.keys() == expected.keys()
    return [name for name in expected if not torch.equal(*(torch.nan_to_num(x[name]) for x in (found, expected)))]


if __name__ == "__main__":
    for name in algorithms():
        print(f'    "{name}": {measured(name)},')
