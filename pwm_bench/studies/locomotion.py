"""Named experiments. A study is a Python function that returns its runs; `pwm-bench sweep NAME` does them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pwm_bench.envs.errors import unknown
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.studies.changes import changed_study
from pwm_bench.sweeps.graph import Study

__all__ = ["STUDIES", "describe", "load_study"]

# Budgets of the quickstart, per seed. Chosen so that every algorithm visibly learns while the whole study, compilation
# included, takes about six minutes on two CPU cores.
QUICKSTART_SEEDS = (0, 1)
QUICKSTART_HOPPER_SHAC = 200_000  # first-order gradients through the simulator: the most learned per step
QUICKSTART_HOPPER_PPO = 400_000  # score-function gradients need several times the steps, each much cheaper
QUICKSTART_HOPPER_PWM = 60_000  # most of its work happens inside the world model
QUICKSTART_CARTPOLE_SHAC = 200_000
QUICKSTART_CARTPOLE_PPO = 200_000

REFERENCE_SEEDS = (0, 1, 2)
HOPPER_SEEDS = (0, 1, 2, 3, 4)  # what it takes for an interval to tell algorithms three standard deviations apart
REFERENCE_HOPPER = 300_000  # per seed, for every algorithm: matched by environment steps
HOPPER_LONG = 2_000_000
MODEL_UPDATES = (12, 24, 48, 96)  # half to four times as many as PWM's CPU recipe has
PRETRAINING = 61_440  # a fifth of the steps, in whole iterations
DISAGREEMENT_PENALTY = 10.0  # pre-trained networks differ by 0.012, and the reward's deviation is 1: costs 0.12 of it
SHAC_CRITIC = (
    "hidden_critic",
    "critic_ensemble",
    "target_critic",
    "tau",
    "critic_learning_rate",
    "max_grad_norm_critic",
    "critic_iterations",
    "critic_minibatches",
)
"""Settings that PWM and SHAC have both."""
FIRST_ORDER_ANT = 300_000
PENDULUM = 200_000  # where the published FlashSAC has learned it
REFERENCE_ANT_SHAC = 1_000_000  # some ten minutes on two CPU cores
SUITE_SHAC = {"cheetah": 300_000, "anymal": 300_000, "humanoid": 300_000, "muscle_humanoid": 300_000}

LOCOMOTION_SEEDS = (0, 1, 2, 3, 4)
PUBLISHED_BUDGETS = {
    "hopper": 10_000_000,
    "ant": 30_000_000,
    "anymal": 20_000_000,
    "humanoid": 26_000_000,
    "snu_humanoid": 28_000_000,
}
"""Environment steps per seed of PWM's published curves, the same for every algorithm here."""
SMALLEST_PUBLISHED_SCALE = 0.2
"""Factor on these budgets from which on learners have their published settings; below, those for a CPU."""


def quickstart() -> Study:
    """Three algorithms and both simulators in a few minutes: PWM, SHAC and PPO on hopper, SHAC and PPO on cartpole."""
    hopper = {"pwm": QUICKSTART_HOPPER_PWM, "shac": QUICKSTART_HOPPER_SHAC, "ppo": QUICKSTART_HOPPER_PPO}
    cartpole = {"shac": QUICKSTART_CARTPOLE_SHAC, "ppo": QUICKSTART_CARTPOLE_PPO}
    common: dict[str, Any] = {"seeds": QUICKSTART_SEEDS, "evaluations": 6, "evaluation_episodes": 8}
    runs = [("hopper", "warp", name, steps) for name, steps in hopper.items()]
    # The longest first, and beside it the runs of the other simulator: neither waits for what the other compiles.
    runs[1:1] = [("cartpole", "mjx", name, steps) for name, steps in cartpole.items()]
    return _study("quickstart", quickstart, [
        RunSpec.create(task=task, simulator=simulator, algorithm=algorithm, env_steps=steps, **common)
        for task, simulator, algorithm, steps in runs
    ])  # fmt: skip


def hopper() -> Study:
    """Gradients of four kinds on hopper in Warp at equal environment steps, five seeds: PWM's through a learned model,
    SHAC's through the simulator, PPO's score function, SAC's through an action-value function."""
    return _study("hopper", hopper, [
        RunSpec.create(
            task="hopper", simulator="warp", algorithm=algorithm, env_steps=REFERENCE_HOPPER, seeds=HOPPER_SEEDS
        )
        for algorithm in ("shac", "pwm", "ppo", "sac")
    ])  # fmt: skip


def first_order() -> Study:
    """More first-order methods on hopper in Warp, as in `hopper`, whose table they belong in (`pwm-bench table hopper
    first-order`): APG, AHAC, SAPO, DMO, RPO, IVW-H; and FlashSAC, the strong model-free bar."""
    return _study("first-order", first_order, [
        RunSpec.create(
            task="hopper", simulator="warp", algorithm=algorithm, env_steps=REFERENCE_HOPPER, seeds=HOPPER_SEEDS
        )
        for algorithm in ("apg", "ahac", "sapo", "dmo", "rpo", "ivwh", "flashsac")
    ])  # fmt: skip


def pwm_variants() -> Study:
    """PWM on hopper, varied, as in `hopper`, whose table they belong in (`pwm-bench table hopper pwm-variants`): a
    model pre-trained on a fifth of the steps and then trained on or frozen, five models without and with a penalty on
    their disagreement, horizons of 3 and 8 at about the same number of model updates a step, SHAC's critic, and
    sequences drawn by their episodes."""
    pretrained = {"pretrain_env_steps": PRETRAINING, "pretrain_actions": "random", "pretrain_updates": 5000}
    shac = RunSpec.create(task="hopper", simulator="warp", algorithm="shac", env_steps=1).config
    return _changed("pwm-variants", "pwm", {
        "pre-trained": pretrained,
        "pre-trained and frozen": pretrained | {"world_model_updates": 0},
        "five models": {"world_model": {"ensemble": 5}},
        "five models and a penalty": {
            "world_model": {"ensemble": 5}, "disagreement_penalty": DISAGREEMENT_PENALTY
        },
        "horizon 3": {"horizon": 3, "world_model_updates": 5},
        "horizon 8": {"horizon": 8, "world_model_updates": 12},
        "SHAC's critic": {
            "critic_states": "real", "critic_activation": "elu", **{name: shac[name] for name in SHAC_CRITIC}
        },
        "replay by episodes": {"replay_sampling": "episodes"},
    })  # fmt: skip


def ahac_parts() -> Study:
    """AHAC on hopper as in `first-order`, with one of its parts as in SHAC: the horizon, the critics, or how long these
    train."""
    return _changed("ahac-parts", "ahac", {
        "SHAC's horizon": {"min_horizon": 32},
        "SHAC's critic": {"critic_ensemble": 1, "target_critic": True},
        "SHAC's critic training": {"critic_tolerance": None},
    })  # fmt: skip


def rpo_parts() -> Study:
    """RPO on hopper as in `first-order`, with one of its parts as in SHAC: a single policy update for each rollout, no
    bonus of entropy, or one critic."""
    return _changed("rpo-parts", "rpo", {
        "one update": {"epochs": 1}, "no entropy": {"entropy_coef": 0.0}, "one critic": {"critic_ensemble": 1}
    })  # fmt: skip


def first_order_ant() -> Study:
    """First-order methods on ant in Warp at equal environment steps, three seeds: SHAC, AHAC, SAPO, RPO, DMO and PWM;
    and PPO."""
    return _study("first-order-ant", first_order_ant, [
        RunSpec.create(
            task="ant", simulator="warp", algorithm=algorithm, env_steps=FIRST_ORDER_ANT, seeds=REFERENCE_SEEDS
        )
        for algorithm in ("shac", "ahac", "sapo", "rpo", "dmo", "ppo", "pwm")
    ])  # fmt: skip


def pendulum() -> Study:
    """FlashSAC, SAC, PPO and SHAC on dm_control's pendulum in Warp, three seeds: FlashSAC beside its published curve,
    and SHAC where the reward has no derivative."""
    return _study("pendulum", pendulum, [
        RunSpec.create(
            task="pendulum", simulator="warp", algorithm=algorithm, env_steps=PENDULUM, seeds=REFERENCE_SEEDS
        )
        for algorithm in ("shac", "ppo", "sac", "flashsac")
    ])  # fmt: skip


def hopper_model_updates() -> Study:
    """PWM on hopper as in `hopper`, with half, as many, twice and four times as many updates of the world model: how
    much of the return is the training of the model."""
    return _changed("hopper-model-updates", "pwm", {
        f"{updates} updates": {"world_model_updates": updates} for updates in MODEL_UPDATES
    })  # fmt: skip


def hopper_2m() -> Study:
    """SHAC on hopper in Warp for two million steps, three seeds: to stand beside its published curve."""
    return _study("hopper-2m", hopper_2m, [
        RunSpec.create(
            task="hopper", simulator="warp", algorithm="shac", env_steps=HOPPER_LONG, seeds=REFERENCE_SEEDS
        )
    ])  # fmt: skip


def ant() -> Study:
    """SHAC learns to walk: ant in Warp, three seeds."""
    return _study("ant", ant, [
        RunSpec.create(
            task="ant", simulator="warp", algorithm="shac", env_steps=REFERENCE_ANT_SHAC, seeds=REFERENCE_SEEDS
        )
    ])  # fmt: skip


def suite() -> Study:
    """SHAC on the rest of the locomotion suite in Warp, three seeds, each within an hour on two CPU cores."""
    return _study("suite", suite, [
        RunSpec.create(task=task, simulator="warp", algorithm="shac", env_steps=steps, seeds=REFERENCE_SEEDS)
        for task, steps in SUITE_SHAC.items()
    ])  # fmt: skip


def survival() -> Study:
    """Four small runs, a second or two each, for `pwm-bench bench survival` to kill."""
    ppo = {"num_envs": 8, "horizon": 16, "epochs": 1, "minibatches": 2}
    shac = {"num_envs": 4, "horizon": 16, "critic_iterations": 2}
    runs: list[tuple[str, str, str, dict[str, Any], int]] = [
        ("cartpole", "mujoco_c", "ppo", ppo, 4096),
        ("double_pendulum", "mujoco_c", "ppo", ppo, 4096),
        ("cartpole", "warp", "ppo", ppo, 4096),
        ("cartpole", "warp", "shac", shac, 2048),
    ]
    return _study("survival", survival, [
        RunSpec.create(task=task, simulator=simulator, algorithm=algorithm, overrides=overrides, env_steps=steps,
                       seeds=(0, 1), evaluations=3, evaluation_episodes=1, device="cpu")
        for task, simulator, algorithm, overrides, steps in runs
    ])  # fmt: skip


def locomotion(scale: float = 1.0) -> Study:
    """PWM, SHAC, PPO and SAC on five locomotion tasks at the published budgets, five seeds, in Warp and MJX; for a GPU,
    or for a CPU with --scale 0.02 or so."""
    specs = []
    for task, steps in PUBLISHED_BUDGETS.items():
        for simulator in ("warp", "mjx"):
            for algorithm in ("pwm", "shac", "ppo", "sac"):
                specs.append(
                    RunSpec.create(
                        task=task,
                        simulator=simulator,
                        algorithm=algorithm,
                        preset="published" if scale >= SMALLEST_PUBLISHED_SCALE else "cpu",
                        env_steps=steps,
                        seeds=LOCOMOTION_SEEDS,
                    )
                )
    return _study("locomotion", locomotion, specs)


STUDIES: dict[str, Callable[..., Study]] = {
    "quickstart": quickstart,
    "hopper": hopper,
    "first-order": first_order,
    "pwm-variants": pwm_variants,
    "ahac-parts": ahac_parts,
    "rpo-parts": rpo_parts,
    "first-order-ant": first_order_ant,
    "pendulum": pendulum,
    "hopper-model-updates": hopper_model_updates,
    "hopper-2m": hopper_2m,
    "ant": ant,
    "suite": suite,
    "locomotion": locomotion,
    "survival": survival,
}


def describe(name: str) -> str:
    """One line about a study, without building it."""
    return " ".join((STUDIES[name].__doc__ or "").split())


def load_study(name: str, *, scale: float = 1.0, **changes: Any) -> Study:
    """Builds a study by name.

    Args:
        name: one of `STUDIES`.
        scale: factor on every run's environment steps.
        changes: see `pwm_bench.studies.changes.changed_study`.

    Raises:
        UsageError: if there is no such study (the nearest name is suggested), or as `changed_study`.
    """
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    function = STUDIES[name]
    study = function(scale) if inspect.signature(function).parameters else function()
    return changed_study(study, scale=scale, **changes)


def _study(name: str, function: Callable[[], Study], specs: list[RunSpec]) -> Study:
    return Study(name=name, description=" ".join((function.__doc__ or "").split()), specs=tuple(specs))


def _changed(name: str, algorithm: str, variants: Mapping[str, Mapping[str, Any]]) -> Study:
    """A learner on hopper as in `hopper`, with some settings changed: what a person calls that -> the settings."""
    nodes = {
        f"{algorithm} · {called}": RunSpec.create(
            task="hopper", simulator="warp", algorithm=algorithm, env_steps=REFERENCE_HOPPER, seeds=HOPPER_SEEDS,
            overrides=overrides, variant=called,
        )
        for called, overrides in variants.items()
    }  # fmt: skip
    return Study(name=name, description=describe(name), nodes=nodes)
