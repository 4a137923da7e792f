"""A results folder with real runs of several kinds, and data and models beside it: what damage is done to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pwm_bench.cli.commands.results import Results as Command
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
from pwm_bench.jobs import collect
from pwm_bench.jobs.collect import CollectSpec
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.pretrain import PretrainSpec
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import Results
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.multitask.files import save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.jobs.kills import stopped
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data
from tests.pwm_bench.world_model.multitask.factories import tiny_config

PIECES = 30
SIZES = {"latent_dim": 8, "encoder_hidden": (8,), "hidden": (8, 8), "num_q": 2, "task_dim": 4}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A folder, and another of the same kind whose files could be taken for its own; paths from the root."""

    one: str
    other: str


ALL = ("finished", "stopped", "gradients", "collected", "trained", "data", "model")
QUICK = ("finished", "stopped", "data", "model")
"""What takes a second to make."""


def build(root: Path, monkeypatch: pytest.MonkeyPatch, wanted: Sequence[str]) -> dict[str, Pair]:
    """Makes the folder; every run in it is a real one, and so is every interruption.

    Args:
        root: the folder.
        monkeypatch: undoes what makes the runs small.
        wanted: which pairs, of `ALL`.
    """
    monkeypatch.setattr(collect, "_ROWS_PER_SHARD", 2)  # a shard an episode
    results = Results(root / "results")

    def pair(one: Spec, other: Spec, *, unfinished: bool = False) -> Pair:
        for spec in (one, other):
            if unfinished:
                stopped(spec, results.root, monkeypatch, pieces=PIECES)
            else:
                assert carry_out(spec, results).exit_code == 0
        return Pair(one=_place(one), other=_place(other))

    def toy(rate: float, steps: int = 400) -> Spec:
        return toy_spec(study="toys", env_steps=steps, evaluations=11, overrides={"learning_rate": rate})

    def ball(seeds: int) -> Spec:
        return BallWallSpec(seeds=seeds, grid=50, epochs=1, batch_size=50, starts=4, steps=5, samples=4)

    def data(seed: int) -> Spec:
        return CollectSpec(tasks=("pendulum-swingup",), episodes=3, noise=(0.1,), workers=0, seed=seed)

    with_data = bool({"data", "model", "trained"} & set(wanted))
    for name, episodes in (("data", (3, 2)), ("other-data", (4, 1))) if with_data else ():
        for number in episodes:  # a shard each
            write_linear_data(root / name, episodes=number)
    for seed, name in enumerate(("model", "other-model") if with_data else ()):
        save_model(root / name, MultitaskModel(tiny_config(), seed=seed))

    def model(seed: int) -> Spec:
        source = [find_input(root / "data", "data")]
        return PretrainSpec.create(data=source, sizes=SIZES, gradient_steps=20, evaluations=2, holdout=0.4, seed=seed,
                                   changes={"horizon": 4, "batch_size": 8}, device="cpu")  # fmt: skip

    makes = {
        "finished": lambda: pair(toy(0.02), toy(0.03)),
        "stopped": lambda: pair(toy(0.04, 2000), toy(0.05, 2000), unfinished=True),
        "gradients": lambda: pair(ball(2), ball(3)),
        "collected": lambda: pair(data(0), data(1)),
        "trained": lambda: pair(model(0), model(1)),
        "data": lambda: Pair(one="data", other="other-data"),
        "model": lambda: Pair(one="model", other="other-model"),
    }
    return {name: makes[name]() for name in wanted}


def _place(spec: Spec) -> str:
    return f"results/runs/{spec.study}/{spec.id}"


def found_wrong(root: Path) -> bool:
    """Whether ``results verify`` finds anything wrong with the folder, or refuses to look at it."""
    try:
        folders = tuple(str(root / name) for name in ("data", "model"))
        return any(Command(action="verify", names=names, results=root / "results")() for names in ((), folders))
    except UsageError:
        return True
