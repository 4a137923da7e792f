"""What an environment computes around its simulator in C++, generated from a task's torch functions.

The functions are traced once, on one world (`pwm_bench.envs.fused.trace`), and differentiated number by number. They
stay the definition: graphs are compared with them, values and gradients, on other states before they are used.
A task whose functions mix worlds, decide by values or do what has no counterpart is computed by its functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import indent

import numpy as np
import torch
from torch import Tensor

from pwm_bench.envs.fused.graph import Graph
from pwm_bench.envs.fused.trace import UnsupportedError, trace
from pwm_bench.envs.random import GOLDEN, MIX, PER_FOLD
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks.base import Task

__all__ = ["AFTER", "AFTER_BACK", "BEFORE", "BEFORE_BACK", "Sizes", "Sources", "generate"]

BEFORE = ("action", "clamped", "ctrl")
"""Arguments of the kernel before the simulator's step: what it reads, then what it writes."""
BEFORE_BACK = ("action", "g_clamped", "g_ctrl", "g_q", "g_v", "adj_action", "adj_q", "adj_v")
"""Those of its adjoint; a gradient (``g_``) may be absent."""
_GIVEN = ("obs0", "action", "q1", "v1", "key", "episode", "progress")
AFTER = (*_GIVEN, "reward", "final", "obs", "q2", "v2", "terminated", "truncated", "invalid", "progress2", "episode2")
"""Those of the kernel after it."""
AFTER_BACK = (
    *_GIVEN, "terminated", "truncated", "invalid", "g_reward", "g_final", "g_obs", "g_q2", "g_v2",
    "adj_obs0", "adj_action", "adj_q1", "adj_v1",
)  # fmt: skip
"""Those of its adjoint."""

_SCALES = (0.1, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)  # of the states of the worlds that a graph is compared on
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Sizes:
    """Numbers of a world: observation, action, controls, positions, velocities, noise of a reset."""

    obs: int
    action: int
    ctrl: int
    q: int
    v: int
    noise: int


@dataclass(frozen=True)
class Sources:
    """C++ of the four kernels, for one world; ``real`` is yet to be said."""

    sizes: Sizes
    before: str
    before_back: str
    after: str
    after_back: str


@dataclass(frozen=True)
class _Traced:
    """A function of a task as a graph: its values and, if it is wanted, its gradient for that of the values, ``g``."""

    graph: Graph
    outputs: list[int]
    adjoints: dict[str, list[int]]

    def value(self, into: str) -> str:
        """C++ that writes the values to an array."""
        return self.graph.source({f"{into}[{k}]": node for k, node in enumerate(self.outputs)})

    def gradient(self, **into: str) -> str:
        """C++ that writes the gradients with regard to arguments to arrays; reads ``g``."""
        pairs = ((f"{array}[{k}]", node) for name, array in into.items() for k, node in enumerate(self.adjoints[name]))
        return self.graph.source(dict(pairs))


def _traced(function: Callable[..., Tensor], differentiable: bool, **arguments: Tensor) -> _Traced:
    """Traces a function on the first world, and compares its graph with it on all.

    Args:
        function: of tensors ``(N, n)``.
        differentiable: whether its gradient is wanted.
        arguments: possible values, float64 ``(N, n)``.
    """
    graph = Graph()
    nodes = {name: graph.inputs(name, value.shape[1]) for name, value in arguments.items()}
    made = trace(graph, function, *((value[:1], nodes[name][None]) for name, value in arguments.items()))
    outputs = made.ravel().tolist()
    adjoints: dict[str, list[int]] = {}
    leaves = {name: value.clone().requires_grad_(differentiable) for name, value in arguments.items()}
    expected = function(*leaves.values())
    arrays = {name: value.numpy() for name, value in arguments.items()}
    _check_equal(function, graph.evaluate(outputs, **arrays), expected.detach())
    if differentiable:
        seeds = graph.inputs("g", len(outputs)).tolist()
        wanted = [int(node) for array in nodes.values() for node in array]
        found = graph.gradient(outputs, seeds, wanted)
        sizes = np.cumsum([len(array) for array in nodes.values()])[:-1]
        adjoints = {name: part.tolist() for name, part in zip(nodes, np.split(np.array(found), sizes), strict=True)}
        weights = torch.linspace(-1.0, 1.0, expected.numel(), dtype=torch.float64).view(expected.shape)
        grads: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if expected.requires_grad:
            # Weights given to `grad` itself would make torch import a computer algebra system, for a second.
            grads = torch.autograd.grad((weights * expected).sum(), list(leaves.values()), allow_unused=True)
        arrays["g"] = weights.reshape(len(weights), -1).numpy()
        for (name, value), grad in zip(arguments.items(), grads, strict=True):
            exact = torch.zeros_like(value) if grad is None else grad
            _check_equal(function, graph.evaluate(adjoints[name], **arrays), exact)
    return _Traced(graph, outputs, adjoints)


def _check_equal(function: Callable[..., Tensor], found: np.ndarray, expected: Tensor) -> None:
    exact = expected.to(torch.float64).reshape(len(expected), -1).numpy()
    if found.shape != exact.shape or not np.allclose(found, exact, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
        raise UnsupportedError(f"{getattr(function, '__name__', 'a function')}: other values on other worlds")


def generate(task: Task) -> Sources:
    """Generates the kernels' sources.

    Raises:
        UnsupportedError: the task's functions cannot be traced; it says which operation stands in the way.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(size: int) -> Tensor:
        return 2.0 * torch.rand(len(_SCALES), size, generator=generator, dtype=torch.float64) - 1.0

    def joined(noise: Tensor) -> Tensor:
        state = task.reset_state(noise)
        return torch.cat((state.qpos, state.qvel), dim=1)

    # The caller's own modes do not matter: an environment for evaluation has the same kernels.
    with torch.device("cpu"), torch.inference_mode(False), torch.enable_grad():
        noise, action = draw(task.noise_dim), draw(task.action_dim)
        fresh = task.reset_state(noise)
        scale = torch.tensor(_SCALES, dtype=torch.float64).unsqueeze(1)
        q = fresh.qpos + scale * draw(fresh.qpos.shape[1])
        v = fresh.qvel + 10.0 * scale * draw(fresh.qvel.shape[1])
        observe = _traced(lambda q, v, a: task.observation(State(q, v), a), True, q=q, v=v, a=action)
        obs = task.observation(State(q, v), action)
        reward = _traced(task.reward, True, o=obs, a=action)
        ends = _traced(task.terminated, False, o=obs)
        _check_one_a_world(task.reward(obs, action), torch.float64)
        _check_one_a_world(task.terminated(obs), torch.bool)
        reset = _traced(joined, False, z=noise)
        control = _traced(task.control, True, a=action)
        _check_precision(task, State(q, v), action)
    sizes = Sizes(obs.shape[1], action.shape[1], len(control.outputs), q.shape[1], v.shape[1], noise.shape[1])
    return Sources(
        sizes,
        before=_before(control),
        before_back=_before_back(control, sizes),
        after=_after(observe, reward, ends, reset, sizes),
        after_back=_after_back(observe, reward, reset, sizes),
    )


def _check_one_a_world(made: Tensor, dtype: torch.dtype) -> None:
    """Leaves to the environment, which says what is wrong, a reward or an end that is not of shape ``(N,)``."""
    if made.dim() != 1 or made.dtype != dtype:
        raise UnsupportedError(f"a result of shape {tuple(made.shape)} in {made.dtype}, not one number a world")


def _check_precision(task: Task, state: State, action: Tensor) -> None:
    """Checks that in single precision the functions give single precision: the kernels take that for granted."""
    single, act = State(state.qpos.float(), state.qvel.float()), action.float()
    obs = task.observation(single, act)
    for made in (obs, task.reward(obs.float(), act), task.control(act)):
        if made.dtype != torch.float32:
            raise UnsupportedError(f"a result in {made.dtype} for arguments in torch.float32")


def _before(control: _Traced) -> str:
    return f"""
real a[A];
for (int k = 0; k < A; ++k) {{
    a[k] = action[k] < (real)-1 ? (real)-1 : (action[k] > (real)1 ? (real)1 : action[k]);
    clamped[k] = a[k];
}}
{control.value("ctrl")}"""


def _before_back(control: _Traced, sizes: Sizes) -> str:
    """The guard of `pwm_bench.envs.simulator.guard_gradient` and the adjoints of control and clamp."""
    return f"""
bool sound = true;
for (int k = 0; k < U; ++k) sound = sound && wp::isfinite(g_ctrl ? g_ctrl[k] : (real)0);
for (int k = 0; k < NQ; ++k) sound = sound && wp::isfinite(g_q ? g_q[k] : (real)0);
for (int k = 0; k < NV; ++k) sound = sound && wp::isfinite(g_v ? g_v[k] : (real)0);
for (int k = 0; k < NQ; ++k) adj_q[k] = sound && g_q ? g_q[k] : (real)0;
for (int k = 0; k < NV; ++k) adj_v[k] = sound && g_v ? g_v[k] : (real)0;
real a[A], g[U], slope[A];
for (int k = 0; k < A; ++k) a[k] = action[k] < (real)-1 ? (real)-1 : (action[k] > (real)1 ? (real)1 : action[k]);
for (int k = 0; k < U; ++k) g[k] = sound && g_ctrl ? g_ctrl[k] : (real)0;
{control.gradient(a="slope")}
for (int k = 0; k < A; ++k) {{
    const bool inside = action[k] >= (real)-1 && action[k] <= (real)1;
    adj_action[k] = inside ? slope[k] + (g_clamped ? g_clamped[k] : (real)0) : (real)0;
}}"""


def _fresh(reset: _Traced, sizes: Sizes) -> str:
    """A state drawn as `pwm_bench.envs.random` draws it, into ``q`` and ``v``."""
    return f"""
auto mix = [](wp::uint64 x) {{
    x = (x ^ (x >> 30)) * {MIX[0]}ull;
    x = (x ^ (x >> 27)) * {MIX[1]}ull;
    return x ^ (x >> 31);
}};
auto fresh = [&]() {{
    const wp::uint64 number = (wp::uint64)(episode[0] + 1) * {PER_FOLD[0]}ull + {PER_FOLD[1]}ull;
    const wp::uint64 own = mix((wp::uint64)key[0] ^ number);
    real z[{max(sizes.noise, 1)}], x[NQ + NV];  // no array is empty
    for (int k = 0; k < {sizes.noise}; ++k) {{
        const wp::uint64 bits = mix(own + (wp::uint64)(k + 1) * {GOLDEN}ull) >> 40;
        z[k] = (real)2 * ((real)bits * (real){2.0**-24!r}) - (real)1;
    }}
{indent(reset.value("x"), "    ")}
    for (int k = 0; k < NQ; ++k) q[k] = x[k];
    for (int k = 0; k < NV; ++k) v[k] = x[NQ + k];
}};"""


def _after(observe: _Traced, reward: _Traced, ends: _Traced, reset: _Traced, sizes: Sizes) -> str:
    return f"""
real q[NQ], v[NV], a[A], o[O], r[1];
bool end[1];
bool bad = false;  // NaN too
for (int k = 0; k < NQ; ++k) {{ q[k] = q1[k]; bad = bad || !(wp::abs(q[k]) < (real)LARGEST); }}
for (int k = 0; k < NV; ++k) {{ v[k] = v1[k]; bad = bad || !(wp::abs(v[k]) < (real)LARGEST); }}
for (int k = 0; k < A; ++k) a[k] = action[k];
for (int k = 0; k < O; ++k) o[k] = obs0[k];
{{
{reward.value("r")}
}}
reward[0] = bad ? (real)0 : r[0];
{_fresh(reset, sizes)}
auto observe = [&]() {{
{observe.value("o")}
}};
if (bad) fresh();
observe();
for (int k = 0; k < O; ++k) final[k] = o[k];
{{
{ends.value("end")}
}}
const wp::int64 steps = progress[0] + 1;
const bool lost = end[0] || bad;
const bool late = !lost && steps >= length;
if (lost || late) {{
    if (!bad) fresh();
    for (int k = 0; k < A; ++k) a[k] = (real)0;
    observe();
}}
for (int k = 0; k < O; ++k) obs[k] = o[k];
for (int k = 0; k < NQ; ++k) q2[k] = q[k];
for (int k = 0; k < NV; ++k) v2[k] = v[k];
terminated[0] = lost;
truncated[0] = late;
invalid[0] = bad;
progress2[0] = lost || late ? 0 : steps;
episode2[0] = episode[0] + (lost || late ? 1 : 0);"""


def _after_back(observe: _Traced, reward: _Traced, reset: _Traced, sizes: Sizes) -> str:
    return f"""
const bool bad = invalid[0], kept = !terminated[0] && !truncated[0];
real q[NQ], v[NV], a[A], o[O], g[O > 1 ? O : 1], a_slope[A], o_slope[O], q_slope[NQ], v_slope[NV];
for (int k = 0; k < NQ; ++k) q[k] = q1[k];
for (int k = 0; k < NV; ++k) v[k] = v1[k];
for (int k = 0; k < A; ++k) a[k] = action[k];
for (int k = 0; k < O; ++k) o[k] = obs0[k];
g[0] = g_reward ? g_reward[0] : (real)0;
{{
{reward.gradient(o="o_slope", a="a_slope")}
}}
for (int k = 0; k < O; ++k) adj_obs0[k] = bad ? (real)0 : o_slope[k];
for (int k = 0; k < A; ++k) adj_action[k] = bad ? (real)0 : a_slope[k];
{_fresh(reset, sizes)}
if (bad) fresh();
for (int k = 0; k < O; ++k) g[k] = (g_final ? g_final[k] : (real)0) + (kept && g_obs ? g_obs[k] : (real)0);
{{
{observe.gradient(q="q_slope", v="v_slope", a="a_slope")}
}}
for (int k = 0; k < A; ++k) adj_action[k] += a_slope[k];
for (int k = 0; k < NQ; ++k) adj_q1[k] = bad ? (real)0 : q_slope[k] + (kept && g_q2 ? g_q2[k] : (real)0);
for (int k = 0; k < NV; ++k) adj_v1[k] = bad ? (real)0 : v_slope[k] + (kept && g_v2 ? g_v2[k] : (real)0);"""
