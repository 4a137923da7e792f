"""Slices of the return, in the simulator and in a world model, with the gradients that each has there.

Around parameters theta_0, with unit directions d over all D parameters and a step a per parameter,

    F(a) = mean over start states of f_H(theta_0 + a sqrt(D) d; s_0)

Directions are the truth's gradient u, the model's gradient m, and a random r. The plane is spanned by u and v, the part
of m that is orthogonal to u. In open loop, D counts the actions of all start states, each of which has its own.

Rows of ``gradients.parquet``; values are changes from the centre, ``estimator`` is ``truth`` or ``model``:

    along_truth, along_model, along_random    F(at) - F(0), with a 95 % bootstrap interval over start states
    slope_truth, slope_model, slope_random    its derivative at 0 as the estimator's own backward pass has it
    plane                                     F(at, b) - F(0, 0), b the value of ``plane_axis`` with the same ``state``
    arrow_u, arrow_v                          gradient by (at, b), b the value of ``arrow_axis`` with the same ``state``
    cosine                                    between the gradients of truth and model at the centre
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import ClosedLoop, Control, OpenLoop
from pwm_bench.gradients.keeping import Ledger, ProblemSpec, Work
from pwm_bench.gradients.landscape import Landscape, Problem, batches, exploration, partial_returns, returns
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.metrics import over_states
from pwm_bench.gradients.model_inputs import check_models, open_model
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.starts import visited_states
from pwm_bench.learning.checks import check_at_least, check_choice, check_positive, check_share, check_widths
from pwm_bench.learning.random import MemberStream
from pwm_bench.store.files import finite_or_none
from pwm_bench.store.spec import plain_options

__all__ = ["SliceSpec", "SliceWork"]

_STREAM = 1
_WORLDS = ("truth", "model")


@dataclass(frozen=True, kw_only=True)
class SliceSpec(ProblemSpec):
    """The settings of a landscape.

    Raises:
        UsageError: an unknown name or an impossible number.
    """

    kind: ClassVar[str] = "landscape"
    task: str
    """One of `pwm_bench.envs.tasks`."""
    simulator: str = "warp"
    """The truth."""
    loop: str = "closed"
    """``"closed"``: weights of a policy; ``"open"``: an action sequence for each start state."""
    horizon: int = 16
    """H."""
    states: int = 16
    """Start states."""
    noise: float = 0.0
    """Deviation of exploration noise."""
    samples: int = 8
    """Rollouts averaged at a start state, where there is noise; all points see the same."""
    radius: float = 0.05
    """Largest step per parameter."""
    points: int = 81
    """Number of points on a line."""
    cells: int = 21
    """Points along each side of the plane."""
    arrows: int = 6
    """Arrows along each side."""
    hidden: tuple[int, ...] = (16,)
    """Hidden layers of the policy."""
    discount: float = 0.99
    """gamma."""
    termination: bool = True
    """Rewards after a termination count as zero."""
    member: int = 0
    """Which seed of a PWM run, by position, where its world model is the input ``model``."""
    simulator_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `pwm_bench.envs.make`."""
    worlds: int = 256
    """Rollouts advanced together."""

    study: str = "gradients-landscape"
    """The folder that it is filed under."""

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """The names of the simulators that compute."""
        return (self.simulator,)

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"{self.task} · {self.simulator} · landscape, {self.loop} loop"

    def __post_init__(self) -> None:
        ProblemSpec.__post_init__(self)
        object.__setattr__(self, "hidden", tuple(self.hidden))
        object.__setattr__(self, "simulator_options", plain_options(self.simulator_options))
        envs.TASKS.check(self.task)
        envs.check_gradient_of(self.simulator, "a slice with arrows")
        check_choice("loop", self.loop, ("open", "closed"))
        for name, least in (("horizon", 1), ("states", 1), ("samples", 1), ("points", 3), ("cells", 3), ("arrows", 1),
                            ("worlds", 1)):  # fmt: skip
            check_at_least(name, getattr(self, name), least)
        for name in ("points", "cells"):
            if getattr(self, name) % 2 == 0:
                raise UsageError(f"{name}={getattr(self, name)}: must be odd, so that the centre is among them")
        check_models(self.inputs, (self.simulator,))
        if not self.inputs:
            raise UsageError("a landscape needs a world model: name a PWM run with --model, or train a small one")
        check_at_least("member", self.member, 0)
        check_positive("radius", self.radius)
        check_share("discount", self.discount)
        check_widths("hidden", self.hidden)
        check_at_least("noise", self.noise, 0.0)


class SliceWork(Work):
    """A landscape.

    Args:
        spec: which.
        device: where.

    Raises:
        UsageError: the simulator refuses the task, or the input is no world model of it.
    """

    def __init__(self, spec: SliceSpec, device: torch.device) -> None:
        super().__init__()
        self.spec, self.device = spec, device
        self.env = envs.make(
            spec.task, spec.simulator, num_envs=spec.worlds, device=str(device), dtype=torch.float64, seed=spec.seed,
            **spec.simulator_options,
        )  # fmt: skip
        self.model = open_model(spec, task=spec.task, simulator=spec.simulator, member=spec.member)
        self.start: State | None = None
        self.gradients: dict[str, Tensor] = {}
        self.pieces = {"start states": self._begin, "gradients at the centre": self._centre}
        for line in (*_WORLDS, "random"):
            self.pieces[f"line along {line}"] = partial(self._line, line)
        self.pieces |= {"plane": partial(self._plane, "plane"), "arrows": partial(self._plane, "arrow")}

    def compile(self) -> None:
        """Compiles the simulator."""
        self.env.simulator.compile(gradient=True)

    @property
    def compile_seconds(self) -> float:
        """Time that it has spent compiling so far [s]."""
        return self.env.simulator.compile_seconds

    def details(self) -> dict[str, Any]:
        """The world model."""
        return {"models": {self.spec.simulator: finite_or_none(self.model.description)}}

    def found(self) -> dict[str, Any]:
        """Start states, and the gradients that the directions are made of."""
        start = None if self.start is None else [self.start.qpos, self.start.qvel]
        return {"start": start, "gradients": self.gradients}

    def find(self, state: Mapping[str, Any]) -> None:
        """Takes back what `found` gave."""
        if state["start"] is not None:
            self.start = State(*(x.to(self.device) for x in state["start"]))
        self.gradients = {name: x.to(self.device) for name, x in state["gradients"].items()}

    def _begin(self) -> None:
        self.start = visited_states(self.env, self.spec.states, seed=self.spec.seed)

    def _centre(self) -> None:
        self.gradients = self._slices.centre()

    def _line(self, name: str) -> None:
        self._slices.line(name, self.gradients)

    def _plane(self, metric: str) -> None:
        self._slices.plane(metric, self.gradients)

    @cached_property
    def _slices(self) -> _Slices:
        spec, env, start, model = self.spec, self.env, self.start, self.model.to(torch.float64, self.device)
        assert start is not None
        control: Control
        if spec.loop == "open":
            control, encoder = OpenLoop(spec.horizon, env.action_dim), None
        else:
            seen = env.task.observation(start, start.qpos.new_zeros(spec.states, env.action_dim))
            control, encoder = ClosedLoop(model.encode(seen), spec.hidden, env.action_dim), model.encode
        problem = Problem(
            start=start,
            control=control,
            theta=control.nominal(spec.states, spec.seed, torch.float64, self.device),
            horizons=(spec.horizon,),
            action_dim=env.action_dim,
            noise=spec.noise,
            discount=spec.discount,
            seed=spec.seed,
        )
        worlds: dict[str, Landscape] = {
            "truth": SimulatedWorld(env.task, env.simulator, encoder=encoder, termination=spec.termination),
            "model": LearnedWorld(model, env.task, rows=spec.worlds, termination=spec.termination, device=self.device),
        }
        return _Slices(spec, self.ledger, problem, worlds)


class _Slices:
    """All evaluations around one point; see the module's docstring."""

    def __init__(self, spec: SliceSpec, ledger: Ledger, problem: Problem, worlds: Mapping[str, Landscape]) -> None:
        self.spec, self.ledger, self.problem, self.worlds = spec, ledger, problem, worlds
        self.samples = spec.samples if spec.noise > 0.0 else 1
        self.parameters = problem.theta.shape[1] * (1 if problem.control.shared else spec.states)

    def centre(self) -> dict[str, Tensor]:
        """Gradients of truth and model at the centre.

        Raises:
            UsageError: one of them has no direction.
        """
        spec = self.spec
        centre = torch.zeros(1, *self.problem.theta.shape, dtype=torch.float64, device=self.problem.theta.device)
        gradients = {name: self._gradients(world, centre)[0] for name, world in self.worlds.items()}
        for name, gradient in gradients.items():
            if not bool(torch.isfinite(gradient).all()) or not bool(gradient.any()):
                raise UsageError(f"the gradient of the {name} is zero or not finite here: try another seed or horizon")
        u, m = (self._unit(gradients[name]) for name in _WORLDS)
        self.ledger.add("model", "cosine", float(self._dot(u, m)), simulator=spec.simulator, horizon=spec.horizon)
        return gradients

    def line(self, name: str, gradients: Mapping[str, Tensor]) -> None:
        """Returns along one direction.

        Args:
            name: ``truth``, ``model`` or ``random``.
            gradients: at the centre.
        """
        spec = self.spec
        direction = self._random() if name == "random" else self._unit(gradients[name])
        steps = torch.linspace(-spec.radius, spec.radius, spec.points, dtype=torch.float64, device=direction.device)
        advance = self.ledger.progress(len(self.worlds))
        for world in self.worlds:
            found = self._returns(world, steps.view(-1, 1, 1) * self._length() * direction)
            change = found - found[len(steps) // 2]
            for at, values in zip(steps.tolist(), change, strict=True):
                measured = over_states("", values, seed=spec.seed)
                self._row(world, f"along_{name}", *measured[1:4], at=at)
            self._row(world, f"slope_{name}", float(self._dot(gradients[world], direction)) * self._length())
            advance(1)

    def plane(self, metric: str, gradients: Mapping[str, Tensor]) -> None:
        """Returns or gradients on the plane of both gradients.

        Args:
            metric: ``plane`` or ``arrow``.
            gradients: at the centre.
        """
        u, m = (self._unit(gradients[name]) for name in _WORLDS)
        v = self._orthogonal(m, u, self._random())
        spec, length = self.spec, self._length()
        count, radius = (spec.cells, 1.0) if metric == "plane" else (spec.arrows, 1.0 - 1.0 / spec.arrows)
        axis = torch.linspace(-radius, radius, count, dtype=torch.float64, device=u.device) * spec.radius
        b, a = (x.flatten() for x in torch.meshgrid(axis, axis, indexing="ij"))
        if count == 1:
            axis, a, b = axis * 0.0, a * 0.0, b * 0.0
        offsets = length * (a.view(-1, 1, 1) * u + b.view(-1, 1, 1) * v)
        for row, value in enumerate(axis.tolist()):
            self._row("truth", f"{metric}_axis", value, state=row)
        advance = self.ledger.progress(len(self.worlds))
        for name, world in self.worlds.items():
            if metric == "plane":
                values = self._returns(name, offsets).mean(1)
                columns = {"plane": values - values[len(values) // 2]}
            else:
                slopes = self._gradients(world, offsets)
                columns = {f"arrow_{n}": self._dot(slopes, d) * length for n, d in (("u", u), ("v", v))}
            for column, values in columns.items():
                for n, (at, value) in enumerate(zip(a.tolist(), values.tolist(), strict=True)):
                    self._row(name, column, value, at=at, state=n // count)
            advance(1)

    def _length(self) -> float:
        return math.sqrt(self.parameters)

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Inner product of gradients or directions ``(..., S, D)`` as vectors of all parameters."""
        return (a * b)[..., 0, :].sum(-1) if self.problem.control.shared else (a * b).sum((-2, -1))

    def _unit(self, a: Tensor) -> Tensor:
        return a / self._dot(a, a).sqrt()

    def _random(self) -> Tensor:
        theta = self.problem.theta
        rows = 1 if self.problem.control.shared else theta.shape[0]
        stream = MemberStream((self.spec.seed,), theta.device, name="gradients/slices")
        return self._unit(stream.normal(rows, theta.shape[1], dtype=theta.dtype)[0].expand_as(theta))

    def _orthogonal(self, a: Tensor, u: Tensor, other: Tensor) -> Tensor:
        """The part of ``a`` orthogonal to ``u``, of length 1; of ``other`` where next to nothing is left."""
        for candidate in (a, other):
            rest = candidate - self._dot(candidate, u) * u
            if float(self._dot(rest, rest)) > 1e-12:
                return self._unit(rest)
        return torch.zeros_like(u)

    def _rows(self, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters, start states and samples of all rollouts of points ``(K, S, D)``."""
        points, states, _ = offsets.shape
        theta = (self.problem.theta + offsets).repeat_interleave(self.samples, dim=1).flatten(0, 1)
        index = torch.arange(states, device=theta.device).repeat_interleave(self.samples).repeat(points)
        return theta, index, torch.arange(self.samples, device=theta.device).repeat(points * states)

    def _noise(self, index: Tensor, sample: Tensor) -> Tensor:
        return self.problem.noise * exploration(self.problem, index, sample, _STREAM, self.spec.horizon)

    def _returns(self, world: str, offsets: Tensor) -> Tensor:
        """f_H at points ``(K, S, D)``, averaged over samples: shape ``(K, S)``."""
        theta, index, sample = self._rows(offsets)
        noise = self._noise(index, sample) if self.problem.noise > 0.0 else None
        found = returns(self.worlds[world], self.problem, theta, index, noise)[0]
        return found.view(offsets.shape[0], offsets.shape[1], self.samples).mean(2)

    def _gradients(self, world: Landscape, offsets: Tensor) -> Tensor:
        """dF/dtheta at points ``(K, S, D)``, NaN where a return is not finite.

        Where states share parameters, all of a point's rows are the same.
        """
        theta, index, sample = self._rows(offsets)
        found = []
        for rows, valid in batches(theta.shape[0], world.rows, theta.device):
            own = theta[rows].detach().requires_grad_()
            noise = self._noise(index[rows], sample[rows])
            rewards = world.rollout(self.problem.starts(index[rows]), self.problem.control, own, noise).rewards
            value = partial_returns(rewards, self.problem.discount)[-1]
            slope = torch.zeros_like(own)
            if value.requires_grad:
                (got,) = torch.autograd.grad(value.sum(), own, allow_unused=True)
                slope = slope if got is None else got
            found.append(torch.where(torch.isfinite(value).unsqueeze(1), slope, torch.nan)[:valid])
        gradient = torch.cat(found).view(*offsets.shape[:2], self.samples, -1).mean(2)
        if self.problem.control.shared:
            return gradient.mean(1, keepdim=True).expand_as(gradient)
        return gradient / offsets.shape[1]

    def _row(self, name: str, metric: str, *values: float, at: float = math.nan, state: int = -1) -> None:
        spec = self.spec
        self.ledger.add(name, metric, *values, simulator=spec.simulator, horizon=spec.horizon, at=at, state=state)
