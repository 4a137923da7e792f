"""Launches of an update at the sizes of the recipes, which would take too long to rehearse as a whole.

How many kernels a GPU launches does not depend on the numbers of worlds, tasks, rows and features, but on the numbers
of steps: linearly. So an update is counted at a few steps, and each number of steps is raised to find its slope.

``python -m tests.rehearsal.recipes`` prints the table anew.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pwm_bench import configs, envs, registry
from pwm_bench.baselines.tdmpc2.view import LearningView
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig, variant
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.world_model.multitask.planner import Planner, PlannerConfig, PriorGuide
from pwm_bench.world_model.multitask.recipes import TrainingConfig, recipe
from pwm_bench.world_model.multitask.training import Pretrainer, Training
from tests.pwm_bench.world_model.multitask.factories import ACT, OBS, tiny_model, tiny_weights
from tests.rehearsal.machine import machine
from tests.rehearsal.mirror import DEVICE, Rehearsal

__all__ = ["CASES", "LAUNCHES", "Case", "count", "extrapolated"]


@dataclass(frozen=True)
class Case:
    """An update of a recipe.

    Attributes:
        config: the recipe.
        make: the learner, with settings that are changes of the recipe.
        steps: numbers of steps, by setting, at which it is counted, and those that are added to find the slope.
        small: further changes, of what does not matter.
        before: updates before the one that is counted.
    """

    config: Any
    make: Callable[[Any], Any]
    steps: Mapping[str, tuple[int, int]]
    small: Mapping[str, Any] = field(default_factory=dict)
    before: int = 1


def _online(algorithm: str, task: str, *, episode_length: int | None = None, **fields: Any) -> Case:
    package: Any = registry.learner_package(algorithm)

    def make(config: Any) -> Any:
        options: dict[str, Any] = {"num_envs": config.num_envs, "device": "auto", "seed": (0,)}
        env = envs.make(task, "warp", episode_length=episode_length, **options)
        return package.Learner(env, config, seeds=(0,), total_env_steps=1_000_000)

    return Case(package.recipe(task, "warp"), make, **fields)


def _narrow(config: Any) -> dict[str, Any]:
    """Layers of a few features, as many as the recipe has."""
    names = [f.name for f in dataclasses.fields(config) if f.name.startswith("hidden_")]
    return {name: [8] * len(getattr(config, name)) for name in names if isinstance(getattr(config, name), tuple)}


def _extraction() -> Case:
    def starts(stream: MemberStream, batch: int) -> torch.Tensor:
        return stream.normal(batch, OBS)

    def make(config: ExtractionConfig) -> Extractor:
        experts = tuple(Expert(task, seed) for task in "abc" for seed in range(10))
        return Extractor(tiny_model(tiny_weights()).to(DEVICE), experts, config, starts=starts)

    steps = {"horizon": (3, 2), "critic_iterations": (1, 1)}
    return Case(variant("paper"), make, steps, small={"batch_size": 8})


def _pretraining() -> Case:
    return Case(recipe("tdmpc2"), _steps_of_training, {"horizon": (2, 1)})


def _steps_of_training(config: TrainingConfig) -> Training:
    """Steps on one batch, again and again."""
    stream, shape = MemberStream((3,)), (6, config.horizon)
    obs, action = stream.normal(6, config.horizon + 1, OBS)[0], stream.uniform(*shape, ACT)[0]
    batch = tuple(x.to(DEVICE) for x in (obs, action, stream.normal(*shape)[0], torch.arange(6) % 3))
    batches: Any = itertools.repeat(batch)
    model = tiny_model(tiny_weights()).to(DEVICE)
    return Training(Pretrainer(model, config), batches)


class _Planning:
    """Plans as updates: the second and those that follow begin where the last left off."""

    def __init__(self, config: PlannerConfig) -> None:
        model, tasks = tiny_model(tiny_weights()).to(DEVICE), torch.zeros(1, dtype=torch.int64, device=DEVICE)
        guide, stream = PriorGuide(model, tasks), MemberStream((0,), DEVICE)
        self._planner = Planner(model, tasks, guide, config, stream=stream, view=LearningView(model, tasks))
        self._obs = torch.zeros(1, OBS, device=DEVICE)

    def begin(self) -> None:
        """Chooses the Q functions."""
        self._planner.choose()

    def compute(self) -> Tensor:
        """An action with its noise, as TD-MPC2 takes one while it learns."""
        return self._planner.compute(self._obs, explore=True)

    def update(self) -> None:
        """Both."""
        self.begin()
        self.compute()


def _planning() -> Case:
    return Case(PlannerConfig(), _Planning, {"iterations": (1, 1)}, small=_FEW)


def _stored(**more: Any) -> dict[str, Any]:
    return {"num_envs": 4, "batch_size": 8, "replay_capacity": 400, "seed_steps": 1, **more}


_SHORT: dict[str, Any] = {
    "steps": {"horizon": (2, 1), "critic_iterations": (1, 1)},
    "small": {"num_envs": 4},
}
_REPEATED = _SHORT | {"steps": {**_SHORT["steps"], "epochs": (1, 1)}}
_MODELLED: dict[str, Any] = {
    "steps": {**_SHORT["steps"], "model_updates": (1, 1)},
    "small": {"num_envs": 4, "replay_capacity": 400, "initial_env_steps": 8, "initial_model_updates": 1},
    "before": 3,
}

_FEW: dict[str, int] = {"samples": 16, "policy_samples": 4, "elites": 4}
"""Sequences of a plan."""
_PLANNED: dict[str, Any] = {
    "steps": {"horizon": (1, 1)},
    "small": {"replay_capacity": 400, "seed_steps": 3, "latent_dim": 16, "encoder_hidden": [8], "hidden": [8, 8]}
    | {"training.batch_size": 8, **{f"planner.{name}": number for name, number in _FEW.items()}},
    "before": 6,  # random steps, and the updates for them
    "episode_length": 3,
}

CASES: dict[str, Callable[[], Case]] = {
    "shac, ant": lambda: _online("shac", "ant", **_SHORT),
    "sapo, ant": lambda: _online("sapo", "ant", **_SHORT),
    "ahac, ant": lambda: _online("ahac", "ant", **_SHORT | {"small": {"num_envs": 4, "min_horizon": 1}}),
    "rpo, ant": lambda: _online("rpo", "ant", **_REPEATED),
    "ivwh, ant": lambda: _online("ivwh", "ant", **_REPEATED),
    "apg, ant": lambda: _online("apg", "ant", steps={"horizon": (2, 1)}, small={"num_envs": 4}),
    "dmo, ant": lambda: _online("dmo", "ant", **_MODELLED),
    "ppo, ant": lambda: _online("ppo", "ant", steps={"horizon": (2, 1), "epochs": (1, 1)}, small={"num_envs": 4}),
    "sac, hopper": lambda: _online("sac", "hopper", steps={"horizon": (1, 1)}, small=_stored()),
    "flashsac, hopper": lambda: _online(
        "flashsac", "hopper", steps={"horizon": (1, 1)}, small=_stored(width_actor=8, width_critic=8)
    ),
    "tdmpc2, hopper": lambda: _online("tdmpc2", "hopper", **_PLANNED),
    "pwm, ant": lambda: _online(
        "pwm",
        "ant",
        steps={"world_model_updates": (1, 1), "critic_iterations": (1, 1)},
        small={"num_envs": 4, "replay_capacity": 400, "pretrain_env_steps": 0, "pretrain_updates": 0},
        before=3,
    ),
    "extraction, 30 tasks": _extraction,
    "pre-training": _pretraining,
    "a plan of TD-MPC2": _planning,
}

LAUNCHES: dict[str, dict[str, int]] = {
    "shac, ant": {"update": 4442, "horizon": 80, "critic_iterations": 111},
    "sapo, ant": {"update": 6148, "horizon": 132, "critic_iterations": 111},
    "ahac, ant": {"update": 5356, "horizon": 104, "critic_iterations": 118},
    "rpo, ant": {"update": 4291, "horizon": 57, "critic_iterations": 111, "epochs": 112},
    "ivwh, ant": {"update": 3957, "horizon": 59, "critic_iterations": 111, "epochs": 113},
    "apg, ant": {"update": 2528, "horizon": 77},
    "dmo, ant": {"update": 12473, "horizon": 183, "critic_iterations": 111, "model_updates": 120},
    "ppo, ant": {"update": 5407, "horizon": 33, "epochs": 842},
    "sac, hopper": {"update": 15711, "horizon": 1962},
    "flashsac, hopper": {"update": 48960, "horizon": 6118},
    "tdmpc2, hopper": {"update": 41216, "horizon": 1648},
    "pwm, ant": {"update": 10656, "world_model_updates": 309, "critic_iterations": 127},
    "extraction, 30 tasks": {"update": 2258, "horizon": 68, "critic_iterations": 131},
    "pre-training": {"update": 573, "horizon": 41},
    "a plan of TD-MPC2": {"update": 961, "iterations": 144},
}
"""Kernels of an update, and how many more there are with one more of these steps."""


def count(case: Case, seen: Rehearsal, **steps: int) -> int:
    """Launches of an update with so many steps."""
    agent = case.make(configs.override(case.config, {**_narrow(case.config), **case.small, **steps}))
    for _ in range(case.before):
        agent.update()
    agent.begin()
    with seen.watching():
        agent.compute()
    return seen.launches.total()


def extrapolated(case: Case) -> dict[str, int]:
    """Launches of an update of the recipe and of each step of it; checks that they are linear in the steps."""
    with machine() as seen:
        least = {name: first for name, (first, _) in case.steps.items()}
        base = count(case, seen, **least)
        slopes = {}
        for name, (first, more) in case.steps.items():
            slope, rest = divmod(count(case, seen, **least | {name: first + more}) - base, more)
            assert rest == 0, f"launches are not linear in {name}"
            slopes[name] = slope
        twice = {name: first + 2 * more for name, (first, more) in case.steps.items()}
        expected = base + sum(slope * (twice[name] - least[name]) for name, slope in slopes.items())
        assert count(case, seen, **twice) == expected, "launches are not linear in the steps together"
    total = base + sum(slope * (getattr(case.config, name) - least[name]) for name, slope in slopes.items())
    return {"update": total, **slopes}


if __name__ == "__main__":
    for name, case in ((name, case) for name, case in CASES.items() if name in sys.argv[1:] or not sys.argv[1:]):
        print(f'    "{name}": {extrapolated(case())},'.replace("'", chr(34)))
