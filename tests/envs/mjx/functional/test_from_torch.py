"""Tasks' torch functions in JAX: values and derivatives of each, against torch."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from jax import numpy as jnp

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.mjx.functional.from_torch import to_jax
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task


def check(*cases):
    """Each case is a function and its arguments: the same values, and for random weights of the results the same
    gradient. All are one JAX program, which compiles sooner than many."""
    theirs, programs = [], []
    for function, *examples in cases:
        arguments = [example.clone().requires_grad_() for example in examples]
        found = function(*arguments)
        found = found if isinstance(found, tuple) else (found,)
        weights = [np.random.default_rng(n).normal(size=result.shape) for n, result in enumerate(found)]
        gradients = None
        if found[0].dtype == torch.float64:
            total = sum((torch.from_numpy(w) * result).sum() for w, result in zip(weights, found, strict=True))
            gradients = torch.autograd.grad(total, arguments, allow_unused=True)
        theirs.append((found, gradients))
        programs.append((function, examples, weights))
    with jax.enable_x64(True):

        def everything():
            results = []
            for function, examples, weights in programs:
                converted = to_jax(function, *map(torch.zeros_like, examples), name="it")
                arrays = [jnp.asarray(example.numpy()) for example in examples]
                values, pull = jax.vjp(converted, *arrays)
                smooth = values[0].dtype == jnp.float64
                results.append((values, pull(tuple(map(jnp.asarray, weights))) if smooth else None))
            return results

        mine = jax.jit(everything)()
    for number, ((values, slopes), (found, gradients)) in enumerate(zip(mine, theirs, strict=True)):
        for value, expected in zip(values, found, strict=True):
            assert value.shape == expected.shape, number
            assert np.allclose(value, expected.detach().numpy(), rtol=1e-12, atol=1e-12), number
        assert (slopes is None) == (gradients is None)
        for slope, expected in zip(slopes or (), gradients or (), strict=True):
            other = 0.0 if expected is None else expected.numpy()
            assert np.allclose(slope, other, rtol=1e-10, atol=1e-10), number


@pytest.mark.parametrize("name", envs.TASKS.own)
def test_every_task_is_the_same_in_jax(name):
    task = load_task(name)
    generator = torch.Generator().manual_seed(4)
    noise = 2.0 * torch.rand(3, task.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = task.reset_state(noise)
    action = 1.6 * torch.rand(3, task.action_dim, generator=generator, dtype=torch.float64) - 0.8
    obs = task.observation(state, action) + 0.1 * torch.randn(
        3, task.observation_dim, generator=generator, dtype=torch.float64
    )

    def reset(noise):
        first = task.reset_state(noise)
        return first.qpos, first.qvel

    check(
        (reset, noise),
        (lambda q, v, a: task.observation(State(q, v), a), state.qpos, state.qvel, action),
        (task.reward, obs, action),
        (task.terminated, obs),
        (task.control, action),
    )


def test_derivatives_at_kinks_are_torchs():
    x = torch.tensor([[-1.0, 1.0, 0.3, 2.0, -2.0]], dtype=torch.float64)
    check(
        (lambda x: torch.clamp(x, -1.0, 1.0), x),
        (lambda x: x.clamp_min(1.0), x),
        (lambda x: x.clamp(max=1.0), x),
        (lambda x: torch.nn.functional.normalize(x, dim=1), torch.zeros(1, 3, dtype=torch.float64)),
        (torch.abs, torch.tensor([[0.0, -2.0]], dtype=torch.float64)),
        (lambda x: torch.where(x < 0.0, -200.0 * x.square(), x), x),
        (lambda x: x * torch.where(x < 0.5, 2.0, 3.0), x),
    )


def test_shapes_are_torchs():
    x = torch.arange(24.0, dtype=torch.float64).view(2, 3, 4)
    check(
        (lambda x: torch.cat((x[..., 1:3], x[:, :, ::2]), dim=-1).sum((0, 2)), x),
        (lambda x: x.unsqueeze(1).expand(-1, 5, -1, -1).mean(dim=(1, 2), keepdim=True).squeeze(1), x),
        (lambda x: torch.stack(x.unbind(1), dim=-1), x),
        (lambda x: x.split((1, 3), dim=2)[1].tanh().exp(), 0.1 * x),
    )


def test_an_operation_without_a_counterpart_is_named():
    with pytest.raises(UsageError, match=r"task 'x', reward: uses the torch operation aten.erf.default"):
        to_jax(torch.erf, torch.zeros(2), name="task 'x', reward")
