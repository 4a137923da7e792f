"""Named experiments in which learners train online in tasks of the suites."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.graph import Study

__all__ = ["STUDIES", "describe", "load_study"]

_STEPS = 50_000  # 100,000 control steps of the simulator


def tdmpc2_dmc() -> Study:
    """TD-MPC2 online on two tasks of dm_control to 100,000 control steps of the simulator (50,000 of the suites), where
    its first published evaluation is; two seeds, the model of 1M weights, matrix products in bfloat16. Each seed is a
    run of its own, since members share no work and one takes more than three hours on a CPU."""
    from pwm_bench.jobs.train_suite import TrainSuiteSpec  # it takes torch along, and lists read descriptions alone

    return _study("tdmpc2-dmc", {
        f"{task} · tdmpc2 · seed {seed}": TrainSuiteSpec.create(
            task=task, learner="tdmpc2", env_steps=_STEPS, seeds=(seed,), evaluations=3, evaluation_episodes=5,
            study="tdmpc2-dmc", overrides={"precision": "bfloat16"},
        )
        for task in ("cup-catch", "cartpole-swingup")
        for seed in (0, 1)
    })  # fmt: skip


STUDIES: dict[str, Callable[[], Study]] = {"tdmpc2-dmc": tdmpc2_dmc}


def describe(name: str) -> str:
    """One line about a study, without building it."""
    return " ".join((STUDIES[name].__doc__ or "").split())


def load_study(name: str) -> Study:
    """Builds a study by name, one of `STUDIES`."""
    return STUDIES[name]()


def _study(name: str, nodes: Mapping[str, Spec]) -> Study:
    return Study(name=name, description=describe(name), nodes=nodes)
