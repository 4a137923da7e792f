"""The programs as a GPU would run them: lowered for CUDA on a machine that has none."""

from __future__ import annotations

import contextlib
import re

import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.mjx import runtime
from pwm_bench.envs.tasks import load_task


def _products(program) -> list[str]:
    text = program.export("cuda").mlir_module()
    return [line for line in text.splitlines() if re.search(r"stablehlo\.(dot_general|dot|convolution)\b", line)]


@pytest.mark.parametrize(
    "task",
    [
        "cartpole",
        pytest.param("hopper", marks=pytest.mark.slow),
        pytest.param("ant", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_every_product_on_a_gpu_is_in_full_float32(task, direction) -> None:
    products = _products(getattr(_simulator(task)._call, direction))
    assert len(products) >= 3
    assert _rounded(products) == []


def test_a_product_at_default_precision_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.jax, "default_matmul_precision", lambda _: contextlib.nullcontext())
    products = _products(_simulator("cartpole")._call.forward)
    assert len(_rounded(products)) == len(products) >= 3


def _rounded(products: list[str]) -> list[str]:
    """Those that JAX may round to TF32."""
    return [line for line in products if "[HIGHEST, HIGHEST]" not in line]


def _simulator(task: str):
    definition = load_task(task)
    substeps = definition.substeps_for(envs.capabilities("mjx"))
    return envs.make_simulator(
        "mjx",
        definition.model(),
        num_worlds=2,
        substeps=substeps,
        timestep=definition.control_dt / substeps,
        dtype=torch.float32,
    )


@pytest.mark.gpu
def test_a_gpu_agrees_with_the_cpu(gpu_of_simulators: str, rehearsed: bool) -> None:
    task, found = "cartpole" if rehearsed else "hopper", []
    for name in ("cpu", gpu_of_simulators):
        env = envs.make(task, "mjx", num_envs=2, device=envs.resolve_device(name, "mjx"), seed=0)
        generator = torch.Generator().manual_seed(0)
        action = (2 * torch.rand(2, env.action_dim, generator=generator) - 1).to(env.device).requires_grad_()
        reward = sum(env.step(action).reward.sum() for _ in range(4))
        (gradient,) = torch.autograd.grad(reward, action)
        found.append((reward.detach().cpu(), gradient.cpu()))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_torch_and_jax_wait_for_each_other(gpu_of_simulators: str, rehearsed: bool) -> None:
    """Each side's work is queued before the other's is done, and what torch frees it fills with something else."""
    found, size = [], 8 if rehearsed else 2048
    for name in ("cpu", gpu_of_simulators):
        env = envs.make("cartpole", "mjx", num_envs=2, device=envs.resolve_device(name, "mjx"), seed=0)
        weight = torch.linspace(-1.0, 1.0, 2, device=env.device).requires_grad_()
        stream = torch.cuda.stream(torch.cuda.Stream()) if env.device.type == "cuda" else contextlib.nullcontext()
        with stream:
            reward = torch.zeros((), device=env.device)
            for t in range(6):
                action = weight.unsqueeze(1) * (0.5 if t % 2 else -0.5)
                late = torch.eye(size, device=env.device)
                for _ in range(20):  # the action is there long after it was asked for
                    late = late @ late
                reward = reward + env.step(action * late[0, 0]).reward.sum()
                del action, late
                torch.full((2, 1), torch.nan, device=env.device)
            (gradient,) = torch.autograd.grad(reward, weight)
        found.append((reward.detach().cpu(), gradient.cpu()))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
