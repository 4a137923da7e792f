"""Where a comparison takes place: one simulator, one world model, the start states, the parameters, the value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch

from pwm_bench import envs
from pwm_bench.envs.simulator import State
from pwm_bench.gradients.controls import ClosedLoop, Control, OpenLoop
from pwm_bench.gradients.landscape import Problem
from pwm_bench.gradients.learned import LearnedWorld
from pwm_bench.gradients.model_inputs import MODEL, open_model
from pwm_bench.gradients.simulated import SimulatedWorld
from pwm_bench.gradients.spec import Comparison
from pwm_bench.gradients.starts import Act, actions_taken, visited_states
from pwm_bench.gradients.values import ValueFunction, ValueTraining, critic_of_model, fit_value
from pwm_bench.world_model.trained import TrainedModel

__all__ = ["Scene"]


class Scene:
    """A comparison's place in one simulator.

    Args:
        spec: the comparison.
        simulator: the truth.
        device: where.
        first: the scene in the first simulator, which has the start states, and the value where features mean the same
            in this one; None if this is it.
        act: a trained policy: start states are those of its episodes, and nominal actions those that it takes from
            there, in the first simulator; None draws actions at random.

    Attributes:
        start: start states, once they are there.
        value: V at the end of a horizon, likewise.

    Raises:
        UsageError: the simulator refuses the task, or an input is not what it should be.
    """

    def __init__(
        self,
        spec: Comparison,
        simulator: str,
        device: torch.device,
        first: Scene | None = None,
        act: Act | None = None,
    ) -> None:
        self.spec, self.simulator, self.device, self.first, self.act = spec, simulator, device, first, act
        self.dtype: torch.dtype = getattr(torch, spec.precision)
        self.env = self._env(spec.worlds, self.dtype)
        self.model = self._open_model()
        self.start: State | None = None
        self.value: ValueFunction | None = None

    def state_dict(self) -> dict[str, Any]:
        """Start states and value, as far as they are there."""
        own = self.value is not None and self.value is not self._shared_value
        return {
            "start": None if self.start is None else [self.start.qpos, self.start.qvel],
            "value": self.value.state_dict() if own and self.value is not None else None,
            "valued": self.value is not None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        if state["start"] is not None:
            self.start = State(*(x.to(self.device) for x in state["start"]))
        if state["value"] is not None:
            assert isinstance(self.spec.bootstrap, ValueTraining)
            self.value = ValueFunction.from_state(self.spec.bootstrap, state["value"]).to(self.dtype, self.device)
        elif state["valued"]:
            self.value = self._shared_value

    def find_start(self) -> State:
        """Start states, the same in all simulators."""
        if self.first is None:
            start = visited_states(self.env, self.spec.states, seed=self.spec.seed, act=self.act, noise=self.spec.noise)
        else:
            assert self.first.start is not None
            start = self.first.start
        return State(*(x.to(self.device, self.dtype) for x in (start.qpos, start.qvel)))

    def find_value(self, progress: Callable[[int], Callable[[int], None]]) -> ValueFunction:
        """V at the end of a horizon, in the precision of the comparison; the same for simulator and model.

        Args:
            progress: given the number of passes of a fit, gives what is to be told of each.
        """
        if self._shared_value is not None:
            return self._shared_value
        spec, training, trained = self.spec, self.spec.bootstrap, self._trained
        assert isinstance(training, ValueTraining)
        return fit_value(
            training,
            self._env(training.num_envs, torch.float32),
            self._control,
            self._theta,
            encoder=None if trained is None else trained.encode,
            act=self.act,
            noise=spec.noise,
            discount=spec.discount,
            termination=spec.termination,
            progress=progress(training.rounds),
        ).to(self.dtype, self.device)

    @property
    def _shared_value(self) -> ValueFunction | None:
        """The value that needs no fit here: the critic of the run, or what the first simulator has."""
        if self.spec.bootstrap == "critic":
            return self._critic
        return None if self.first is None or self.spec.own_models else self.first.value

    def learned(self, detach: bool) -> LearnedWorld:
        """The world model as a landscape; ``detach`` cuts the policy's path."""
        assert self.model is not None
        return LearnedWorld(
            self.model,
            self.world.task,
            rows=self.spec.worlds,
            detach_policy=detach,
            termination=self.spec.termination,
            value=self.value,
            dtype=self.dtype,
            device=self.device,
        )

    def _env(self, worlds: int, dtype: torch.dtype) -> envs.api.DifferentiableEnv:
        spec = self.spec
        return envs.make(
            spec.task,
            self.simulator,
            num_envs=worlds,
            device=str(self.device),
            dtype=dtype,
            seed=spec.seed,
            **spec.simulator_options,
        )

    def _open_model(self) -> TrainedModel | None:
        spec = self.spec
        if not spec.models:
            return None
        model = open_model(spec, task=spec.task, simulator=self.simulator, member=spec.member)
        if spec.bootstrap == "critic":
            critic = critic_of_model(spec.open_input(MODEL), model, member=spec.member, discount=spec.discount)
            self._critic = critic.to(self.dtype, self.device)
        return model

    @cached_property
    def _trained(self) -> TrainedModel | None:
        """The model in the precision of the comparison."""
        return None if self.model is None else self.model.to(self.dtype, self.device)

    @cached_property
    def _control(self) -> Control:
        spec, env, start, trained = self.spec, self.env, self.start, self._trained
        assert start is not None
        if spec.loop == "open":
            return OpenLoop(max(spec.horizons), env.action_dim, spec.action_scale, actions=self._actions)
        seen = env.task.observation(start, start.qpos.new_zeros(spec.states, env.action_dim))
        return ClosedLoop(seen if trained is None else trained.encode(seen), spec.hidden, env.action_dim)

    @cached_property
    def _actions(self) -> torch.Tensor | None:
        """What the policy does from the start states in the first simulator, ``(S, H, A)``; None without one."""
        if self.act is None or self.first is not None:
            return None if self.first is None else self.first._actions
        assert self.start is not None
        world = SimulatedWorld(self.env.task, self.env.simulator)
        return actions_taken(world, self.start, self.act, max(self.spec.horizons))

    @cached_property
    def _theta(self) -> torch.Tensor:
        return self._control.nominal(self.spec.states, self.spec.seed, self.dtype, self.device)

    @cached_property
    def world(self) -> SimulatedWorld:
        """The truth."""
        spec, trained = self.spec, self._trained
        # An action sequence reads no features, but a value does.
        encoder = None if trained is None or (spec.loop == "open" and self.value is None) else trained.encode
        return SimulatedWorld(
            self.env.task, self.env.simulator, encoder=encoder, termination=spec.termination, value=self.value
        )

    @cached_property
    def problem(self) -> Problem:
        """Where gradients are taken."""
        spec = self.spec
        assert self.start is not None
        return Problem(
            start=self.start,
            control=self._control,
            theta=self._theta,
            horizons=spec.horizons,
            action_dim=self.env.action_dim,
            noise=spec.noise,
            discount=spec.discount,
            seed=spec.seed,
        )
