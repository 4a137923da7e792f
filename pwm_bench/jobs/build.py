"""From a spec to the objects that run it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch

import envs
from envs.api import DifferentiableEnv
from pwm_bench import configs, registry
from pwm_bench.jobs.evaluation import Evaluator, make_env
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.learning.learner import GradientSource, Learner
from pwm_bench.store.schema import PeakMemory

__all__ = ["Parts", "build", "peak_memory"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What a run consists of."""

    device: torch.device
    env: DifferentiableEnv
    evaluator: Evaluator
    learner: Learner
    gradient_source: GradientSource
    scheduled: bool
    """Whether a learning rate changes over the budget of environment steps."""

    @property
    def compile_seconds(self) -> float:
        """Time that the simulators have spent compiling so far [s]."""
        return self.env.simulator.compile_seconds + self.evaluator.env.simulator.compile_seconds

    def compile(self) -> None:
        """Compiles what training and evaluation need of the simulators."""
        self.env.simulator.compile(gradient=self.gradient_source == "simulator")
        self.evaluator.env.simulator.compile(gradient=False)


def build(spec: RunSpec) -> Parts:
    """Builds environments and the untrained learner.

    Raises:
        UsageError: the device is absent, or a part refuses the spec.
    """
    device = envs.resolve_device(spec.device, spec.simulator)
    torch.set_float32_matmul_precision("highest")  # no TF32 behind anyone's back
    package = registry.learner_package(spec.algorithm)
    if device.type == "cpu" and package.cpu_threads is not None:
        torch.set_num_threads(package.cpu_threads)
    config = configs.override(package.recipe(spec.task, spec.simulator), spec.config)
    env = make_env(spec, device, seeds=spec.seeds, worlds=config.num_envs)
    return Parts(
        device=device,
        env=env,
        evaluator=Evaluator(spec, device),
        learner=package.Learner(env, config, seeds=spec.seeds, total_env_steps=spec.env_steps),
        gradient_source=package.gradient_source,
        scheduled=config.scheduled,
    )


def peak_memory(device: torch.device, before: PeakMemory) -> PeakMemory:
    """The largest memory in use up to now, given that of earlier attempts."""
    import resource

    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    gpu = before.gpu
    if device.type == "cuda":
        gpu = max(gpu or 0, torch.cuda.max_memory_allocated(device))
    return PeakMemory(resident=max(before.resident, resident), gpu=gpu)
