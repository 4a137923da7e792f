"""SHAC's settings per task: the published ones, and ones sized for a CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pwm_bench.baselines.shac.config import Config
from pwm_bench.learning.checks import check_choice
from pwm_bench.learning.preset import MUSCLE_TASKS, PRESETS, Preset

__all__ = ["recipe"]


def recipe(task: str, simulator: str, preset: Preset = "cpu") -> Config:
    """Gives the settings for a task; every simulator shares them.

    ``"published"`` is the SHAC of the curves that PWM compares with (FoRL's configurations: 64 to 1024 worlds, layers
    400, 200, 100, a target critic that keeps 0.99 of itself); for cart-pole and cheetah, which FoRL's curves leave out,
    NVlabs' (Xu et al., ICLR 2022).

    ``"cpu"`` has NVlabs' networks and learning rates, and two deviations for budgets of some 100,000 steps, in which 64
    worlds pass 50 iterations: the hopper has 64 worlds (NVlabs 256) and the critic's rate of FoRL (5e-4; NVlabs 2e-4);
    the humanoids' target critic keeps 0.2 of its old weights, as in the other tasks (NVlabs 0.995, over 2000
    iterations), and that of the muscles learns at 2e-3 (NVlabs 5e-4).

    Args:
        task: name of the task; one without settings of its own takes the ant's.
        simulator: name of the simulator.
        preset: which of the two.

    Raises:
        UsageError: if there is no such preset.
    """
    check_choice("preset", preset, PRESETS)
    if task in ("cartpole", "double_pendulum", "pendulum"):
        return _CARTPOLE
    if preset == "cpu" or task == "cheetah":
        return replace(Config(), **_CPU.get(task, {}))
    return replace(_FORL, num_envs=_WORLDS.get(task, 128))


# NVlabs, as for double pendulum, which has no configuration of its own.
_CARTPOLE = Config(actor_learning_rate=1e-2, critic_learning_rate=1e-3, hidden_actor=(64, 64), hidden_critic=(64, 64))

_LAYERS = (400, 200, 100)
_FORL = Config(hidden_actor=_LAYERS, hidden_critic=_LAYERS, critic_learning_rate=5e-4, tau=0.01)
_HUMANOIDS = ("humanoid", *MUSCLE_TASKS)
_WORLDS = {"hopper": 1024, "hopper_stiff": 1024, **dict.fromkeys(_HUMANOIDS, 64)}

_MUSCLES: dict[str, Any] = {"hidden_actor": (512, 256), "hidden_critic": (256, 256)}
_CPU: dict[str, dict[str, Any]] = {  # else actor 128, 64, 32, critic 64, 64, both rates 2e-3, tau 0.8
    "hopper": {"critic_learning_rate": 5e-4},
    "hopper_stiff": {"critic_learning_rate": 5e-4},
    "humanoid": {"hidden_actor": (256, 128), "hidden_critic": (128, 128), "critic_learning_rate": 5e-4},
    **dict.fromkeys(MUSCLE_TASKS, _MUSCLES),
}
