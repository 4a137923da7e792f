"""Named multi-task experiments: collect data, train one world model, extract experts, compare ways to act.

Each is a graph of runs. Those that leave data, models and the policies of rounds are filed under STUDY-stages; what
belongs in the table is filed under STUDY.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.inputs import find_input
from pwm_bench.sweeps.graph import Study

__all__ = ["MULTITASK", "Multitask", "load_multitask"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Multitask:
    """A multi-task experiment.

    ``collect`` and ``pretrain`` are None where the user brings a dataset and a world model along.
    """

    description: str
    tasks: tuple[str, ...]
    """Names and suites."""
    collect: Mapping[str, Any] | None
    """Fields of `CollectSpec`."""
    learner: str = "ppo"
    learner_steps: int = 0
    """Environment steps of a learner in each task without a scripted expert, whose policies then act there; 0: none."""
    pretrain: Mapping[str, Any] | None
    """What `PretrainSpec.create` takes."""
    gradient_steps: tuple[int, ...] = ()
    """Gradient steps of the world model: before the first round, in it, in the second, and so on. In a round, policies
    are extracted from the model as it is, episodes are added that these play, and the model trains on: what it believed
    wrongly, it learns."""
    round_extract: Mapping[str, Any] = field(default_factory=dict)
    """Changes of `ExtractionConfig` in a round."""
    round_collect: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `CollectSpec` in a round."""
    extracts: tuple[Mapping[str, Any], ...]
    """Changes of `ExtractionConfig`, one extraction each, from the same model and data; other ways to act are compared
    with the last one."""
    clones: tuple[Mapping[str, Any], ...]
    """Changes of `pwm_bench.baselines.bc.config.Config`, one behaviour cloning each."""
    seeds: int = 1
    """Policies of each task."""
    evaluations: int = 6
    arms: tuple[str, ...]
    """Other ways to act, see `pwm_bench.jobs.planning.ARMS`."""
    planner: Mapping[str, Any] = field(default_factory=dict)
    """Changes of `PlannerConfig`."""
    episodes: int
    """Episodes per policy in the last evaluation, the same for all ways to act."""


MT10 = (
    "mw-reach",
    "mw-push",
    "mw-pick-place",
    "mw-door-open",
    "mw-drawer-open",
    "mw-drawer-close",
    "mw-button-press-topdown",
    "mw-peg-insert-side",
    "mw-window-open",
    "mw-window-close",
)
"""Meta-World's own selection of ten tasks. Source: Yu et al., "Meta-World", CoRL 2019, MT10."""
_FOURTEEN = (*MT10, "cartpole-swingup", "cup-catch", "walker-walk", "cheetah-run")

# Data that knows what works and what fails: experts with little, some and much noise, and random actions.
_MIXED = {"noise": (0.1, 0.5, 1.0), "random_share": 0.25}
# Sized for an hour on two CPU cores: an eighth of the published batch, so that many more steps fit into it, and no Q
# functions, which PWM does not use and which cost three times as much as the rest.
_CPU_MODEL = {
    "size": "5M",
    "sizes": {"num_q": 0},
    "changes": {"learn_values": False, "batch_size": 128, "precision": "bfloat16"},
    "balanced": True,
}
# A quarter of the published critic steps in smaller critics: these are most of the work beside a 5M model.
# The discount is the world model's, by the task's episode length; the paper's policies have 0.99.
_CPU_POLICY = {"precision": "bfloat16", "critic_iterations": 2, "hidden_critic": (256, 128), "discount": "task"}
# Not PWM as published: see `ExtractionConfig.imitation`.
_IMITATION = {"imitation": 30.0}

MULTITASK: Mapping[str, Multitask] = {
    "multitask-quick": Multitask(
        description="From nothing to experts in a quarter of an hour on two CPU cores: two Meta-World tasks and one of "
        "dm_control, own data, a 1M world model, all experts together, beside behaviour cloning and TD-MPC2's planner.",
        tasks=("mw-reach", "mw-drawer-close", "cartpole-swingup"),
        collect={"episodes": 60, **_MIXED},
        learner_steps=50_000,
        pretrain={"size": "1M", "changes": {"batch_size": 128}, "balanced": True},
        gradient_steps=(800,),
        extracts=tuple({"iterations": 400, **_CPU_POLICY, **more} for more in (_IMITATION, {})),
        clones=({"iterations": 2000},),
        evaluations=3,
        arms=("tdmpc2-prior", "tdmpc2-planning"),
        planner={"samples": 128, "policy_samples": 8, "elites": 16},
        episodes=5,
    ),
    "multitask": Multitask(
        description="Meta-World's MT10 and four tasks of dm_control on a CPU: own data, a 5M world model trained for "
        "less than an hour, in part on what its own policies did, all experts together, beside behaviour cloning of "
        "all and of the best tenth of the data.",
        tasks=_FOURTEEN,
        collect={"episodes": 300, **_MIXED},
        learner_steps=150_000,
        pretrain=_CPU_MODEL,
        gradient_steps=(9000, 1500, 1500, 1500),
        round_extract={"iterations": 200, **_CPU_POLICY, "batch_size": 32},
        round_collect={"episodes": 50, "noise": (0.0, 0.3)},
        extracts=({"iterations": 400, **_CPU_POLICY},),
        clones=({"iterations": 4000}, {"iterations": 4000, "best": 0.1}),
        arms=(),
        episodes=10,
    ),
    "multitask-offline": Multitask(
        description="The same 14 tasks from recorded data alone, three seeds: PWM, PWM that also imitates the best "
        "tenth of the data, and behaviour cloning of all and of the best tenth.",
        tasks=_FOURTEEN,
        collect={"episodes": 300, **_MIXED, "seed": 1},
        learner_steps=150_000,
        pretrain={**_CPU_MODEL, "seed": 1},
        gradient_steps=(9000,),
        extracts=tuple({"iterations": 300, **_CPU_POLICY, "batch_size": 32, **more} for more in (_IMITATION, {})),
        clones=({"iterations": 4000, "best": 0.1}, {"iterations": 4000}),
        seeds=3,
        evaluations=2,
        arms=(),
        episodes=20,
    ),
    **{
        suite: Multitask(
            description=f"Published {suite.upper()}, with --model an imported TD-MPC2 checkpoint and --data its "
            "data set: all experts with the paper's settings, beside TD-MPC2's prior and planner, and PWM with "
            "planning; for a GPU.",
            tasks=(suite,),
            collect=None,
            pretrain=None,
            extracts=({"precision": "bfloat16"},),
            clones=(),
            arms=("tdmpc2-prior", "tdmpc2-planning", "pwm-planning"),
            episodes=10,
        )
        for suite in ("mt30", "mt80")
    },
}


def load_multitask(
    name: str, *, data: Path | None = None, model: Path | None = None, workers: int | None = None
) -> Study:
    """A multi-task study.

    Args:
        name: one of `MULTITASK`.
        data: a dataset (or the run that collected it), instead of collecting.
        model: a world model, or the run that trained it, instead of training one.
        workers: processes that run the real tasks; one a processor by default.

    Raises:
        UsageError: there is no such study, or it needs data or a model that was not given.
    """
    from pwm_bench.studies.multitask_graph import build  # imports torch, which a list of studies need not
    from pwm_bench.world_model.multitask.files import read_config

    if name not in MULTITASK:
        raise unknown("multi-task study", name, MULTITASK)
    recipe = MULTITASK[name]
    for option, given, own in (("--data DIR", data, recipe.collect), ("--model FOLDER", model, recipe.pretrain)):
        if given is None and own is None:
            raise UsageError(f"'{name}' needs {option}; docs/multitask.md says where to get the published ones")
    ready = None if model is None else find_input(model, "model")
    if ready is not None:
        read_config(Path(ready.path))  # a file of another program is refused before hours of work
    return build(
        name,
        recipe,
        data=None if data is None else find_input(data, "data"),
        model=ready,
        workers=workers,
    )
