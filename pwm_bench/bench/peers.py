"""``pwm-bench bench peers``: others' simulators and learners on our tasks, in one run with ours, on one CPU thread.

What is not installed is named, not failed: ``tox run -e peers`` installs all of it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pwm_bench.bench.ledger import Value, as_table, begun
from pwm_bench.bench.timing import interleaved, median_seconds
from pwm_bench.cli.showing import terminal
from pwm_bench.learning.threads import one_thread

__all__ = ["main"]

_WORLDS = 64
_TIMED: dict[str, Any] = {"clock": "processor", "pick": min}


def main(*, quick: bool = False, output: Path | None = None) -> None:
    """Prints environment steps per processor second of simulators and of learners.

    Args:
        quick: shorter rollouts, fewer repetitions, and neither MJX nor Brax, which compile.
        output: file for the rows.
    """
    console = terminal()
    ledger = begun(console, output)
    with one_thread():
        for title, table, measures in (
            (f"Simulators, {_WORLDS} worlds", "simulators", (_against_newton, _against_mujoco, _against_mjx)),
            (f"Learners on hopper, {_WORLDS} worlds", "learners", (_ours, _stable_baselines3, _brax)),
        ):
            for measured in measures:
                with console.status(measured.__name__.strip("_")):
                    for row in measured(quick):
                        ledger.add(table, **row)
            console.print(as_table(f"{title}; processor seconds", ledger.tables()[table]))


def _lacking(package: str, what: str) -> list[dict[str, Value]] | None:
    """A row that names what is not installed; None where it is."""
    if importlib.util.find_spec(package) is not None:
        return None
    return [{"what": f"{what}: not installed (tox run -e peers)"}]


def _compared(task: str, kind: str, env_steps: int, works: dict[str, Callable[[], object]], quick: bool) -> Any:
    """A row for each workload, ours first."""
    seconds = interleaved(works, repeats=1 if quick else 3, at_least=0.0, **_TIMED)
    ours = next(iter(seconds.values()))
    return [
        {"what": name, "task": task, "pass": kind, "env steps/s": env_steps / value, "ours is faster by": value / ours}
        for name, value in seconds.items()
    ]


def _against_newton(quick: bool) -> list[dict[str, Value]]:
    """Ant forward and backward with 16 substeps a control step, beside Newton's Featherstone solver."""
    from pwm_bench.bench.newton import newton_gradient
    from pwm_bench.bench.workloads import make_rollout

    if lacking := _lacking("newton", "Newton"):
        return lacking
    horizon = 2 if quick else 16
    own = make_rollout("ant", "warp", _WORLDS, horizon, threads=1)
    own.check()
    works: dict[str, Callable[[], object]] = {"Warp simulator": own.gradient}
    for interval, how in ((1, "as shipped"), (16, "mass matrix held")):
        works[f"Newton {version('newton')} Featherstone, {how}"] = newton_gradient(
            "ant", _WORLDS, horizon, 16, own.simulator.timestep, mass_matrix_interval=interval
        )
    return _compared("ant", "forward + backward", own.env_steps, works, quick)


def _against_mujoco(quick: bool) -> list[dict[str, Value]]:
    """Hopper and ant forward, beside MuJoCo C with the same model and timestep."""
    from pwm_bench.bench.workloads import make_rollout, mujoco_rollout

    rows: list[dict[str, Value]] = []
    for task in ("hopper", "ant"):
        own = make_rollout(task, "warp", _WORLDS, 4 if quick else 16, threads=1)
        own.check()
        steps = own.env_steps // _WORLDS * own.simulator.substeps
        peer = mujoco_rollout(task, _WORLDS, steps, own.simulator.timestep)
        works: dict[str, Callable[[], object]] = {"Warp simulator": own.forward, f"MuJoCo C {version('mujoco')}": peer}
        rows += _compared(task, "forward", own.env_steps, works, quick)
    return rows


def _against_mjx(quick: bool) -> list[dict[str, Value]]:
    """Hopper forward in our MJX simulator, beside `mjx.step` as shipped with the same model and timestep."""
    if quick:
        return []
    from pwm_bench.bench.workloads import make_rollout, shipped_mjx_rollout

    own = make_rollout("hopper", "mjx", _WORLDS, 16)
    own.check()
    works: dict[str, Callable[[], object]] = {
        "MJX simulator": own.forward,
        f"mjx.step {version('mujoco-mjx')} as shipped": shipped_mjx_rollout(own),
    }
    return _compared("hopper", "forward", own.env_steps, works, quick)


def _ours(quick: bool) -> list[dict[str, Value]]:
    """Our PPO and SAC at their recipes."""
    from pwm_bench.bench.learners import make_learner, population_row

    rows: list[dict[str, Value]] = []
    for algorithm in ("ppo", "sac"):
        learner = make_learner(algorithm, 1, "cpu")
        row = population_row(algorithm, learner, 1, repeats=1 if quick else 3, at_least=0.0, clock="processor")
        rows.append({"what": f"{algorithm.upper()}, ours, in Warp", "env steps/s": row["env steps/s"]})
    return rows


def _stable_baselines3(quick: bool) -> list[dict[str, Value]]:
    """Stable-Baselines3's PPO and SAC on the same worlds through the bridge, with our recipes' batches and networks."""
    if lacking := _lacking("stable_baselines3", "Stable-Baselines3"):
        return lacking
    import stable_baselines3 as sb3
    from stable_baselines3.common.logger import Logger

    from pwm_bench.envs.bridges.stable_baselines3 import Sb3VecEnv
    from pwm_bench.envs.vector_env import GymVectorEnv
    from pwm_bench.registry import learner_package

    rows: list[dict[str, Value]] = []
    for name in ("ppo", "sac"):
        recipe: Any = learner_package(name).recipe("hopper", "warp")
        networks = {
            "net_arch": {"pi": list(recipe.hidden_actor), "vf" if name == "ppo" else "qf": list(recipe.hidden_critic)}
        }
        env = Sb3VecEnv(GymVectorEnv("hopper", num_envs=_WORLDS, threads=1))
        agent: Any
        if name == "ppo":
            steps = _WORLDS * recipe.horizon
            agent = sb3.PPO(
                "MlpPolicy", env, n_steps=recipe.horizon, batch_size=steps // recipe.minibatches,
                n_epochs=recipe.epochs, policy_kwargs=networks, device="cpu",
            )  # fmt: skip
        else:
            steps = _WORLDS * (2 if quick else recipe.horizon)
            agent = sb3.SAC(
                "MlpPolicy", env, batch_size=recipe.batch_size, gradient_steps=recipe.updates_per_step, train_freq=1,
                learning_starts=0, policy_kwargs=networks, buffer_size=100_000, device="cpu",
            )  # fmt: skip
        agent.set_logger(Logger(folder=None, output_formats=[]))  # its own leaves a folder behind

        def train(agent: Any = agent, steps: int = steps) -> None:
            agent.learn(steps, reset_num_timesteps=False)

        seconds = median_seconds(train, repeats=1 if quick else 3, at_least=0.0, clock="processor")
        rows.append(
            {
                "what": f"{name.upper()}, Stable-Baselines3 {version('stable-baselines3')}, in Warp",
                "env steps/s": steps / seconds,
            }
        )
    return rows


def _brax(quick: bool) -> list[dict[str, Value]]:
    """Brax's PPO on the same robot in `mjx.step` as shipped, with our recipe's batches and networks."""
    if lacking := _lacking("brax", "Brax"):
        return lacking
    if quick:
        return []
    from pwm_bench.bench.brax_ppo import brax_ppo
    from pwm_bench.registry import learner_package

    speed = brax_ppo(learner_package("ppo").recipe("hopper", "warp"), _WORLDS)
    return [{"what": f"PPO, Brax {version('brax')}, in mjx.step as shipped", "env steps/s": speed}]
