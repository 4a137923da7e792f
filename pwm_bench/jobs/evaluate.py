"""Evaluating the policies of a run again: more episodes, other worlds, another simulator, or as they explore."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from pwm_bench import configs, envs
from pwm_bench.envs import suites
from pwm_bench.envs.contact import GROUND_OPTIONS
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.suites.single import SuiteTaskEnv
from pwm_bench.jobs.evaluation import Evaluator, drawn_seeds, make_env, make_suite_env
from pwm_bench.jobs.fingerprint import task_hash
from pwm_bench.jobs.policies import PolicyFile, load_policy, read_policy
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.jobs.train_suite import TrainSuiteSpec
from pwm_bench.learning.checks import check_at_least
from pwm_bench.learning.random import MemberStream
from pwm_bench.runs.job import Budget, EvaluationResult, Job
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.schema import Counts, Member, RunRecord
from pwm_bench.store.spec import Spec, plain_options

__all__ = ["EvaluateJob", "EvaluateSpec"]


@dataclass(frozen=True, kw_only=True)
class EvaluateSpec(Spec):
    """Episodes of trained policies, one member a training seed.

    `EvaluateSpec.of` takes from the policies what is not said.

    Raises:
        UsageError: an impossible value, or no policies.
    """

    kind: ClassVar[str] = "evaluate"
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    """``"policy"``: the artifact of a run that trained policies."""
    task: str
    """One of `pwm_bench.envs.tasks`, or a task of a suite, with observations and actions as the policies know them."""
    simulator: str
    """One of `pwm_bench.envs.simulators`, or ``"suite"``; it need not be the one that they were trained in."""
    algorithm: str
    """What trained them."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds of those that are evaluated."""
    simulator_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `pwm_bench.envs.make` beyond the task's own."""
    evaluation_episodes: int = 64
    """Episodes per member."""
    explore: bool = False
    """Act as in training, with noise, instead of deterministically."""
    draw: int = 0
    """Which set of worlds, and of noise: evaluations in training play the first episodes of the 0th."""
    device: str = "auto"
    """``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; see `pwm_bench.envs.resolve_device`."""
    study: str = "evaluate"
    """Folder that the run is filed under."""
    variant: str = field(default="", metadata=configs.LATER)
    """What tables and figures call the run among others of its algorithm, e.g. ``"five models"``; where it is empty,
    they tell runs apart by their settings."""
    workers: int | None = field(default=None, metadata=configs.LATER)
    """Processes that run the worlds of a suite; one a processor by default, 0 for none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        object.__setattr__(self, "simulator_options", plain_options(self.simulator_options))
        if set(self.inputs) != {"policy"}:
            raise UsageError(f"inputs={sorted(self.inputs)}: must be 'policy', the artifact of a run that trained one")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise UsageError(f"seeds={list(self.seeds)}: must be different training seeds of the run, at least one")
        if self.in_suite:
            suites.spec([self.task])
            if self.simulator_options:
                raise UsageError(f"simulator_options={self.simulator_options}: tasks of suites have none; leave it out")
        else:
            envs.TASKS.check(self.task)
            envs.SIMULATORS.check(self.simulator)
        check_at_least("evaluation_episodes", self.evaluation_episodes, 1)
        check_at_least("draw", self.draw, 0)
        self.check_place(self.device)

    @classmethod
    def of(cls, policy: Input, **changes: Any) -> Self:
        """The evaluation of policies where they were trained, but for what is changed.

        Args:
            policy: the artifact of a run.
            changes: fields. In another simulator its own options are those of the task, and the ground is as stiff as
                it was.

        Raises:
            UsageError: no trained policies, or impossible values.
        """
        return cls._where_trained(read_policy(policy.open()), policy, changes)

    @classmethod
    def draft(cls, fields: Mapping[str, Any], settings: Mapping[str, Any], reads: Mapping[str, Spec]) -> Self:
        """The evaluation that a person asks for: where the policies are trained, but for what is said.

        Raises:
            UsageError: no policies, unknown fields, or impossible values.
        """
        changes = dict(fields)
        policy = changes.pop("inputs", {}).get("policy")
        if policy is None:
            raise UsageError("inputs: 'policy' is missing; name the runs that train policies")
        if settings:
            raise UsageError(f"set: work of the kind '{cls.kind}' has no settings; leave it out")
        if isinstance(policy, Input):
            return cls.of(policy, **changes)
        if not isinstance(reads["policy"], (RunSpec, TrainSuiteSpec)):
            raise UsageError(f"inputs.policy: '{policy.node}' trains no policy that could be evaluated")
        return cls._where_trained(reads["policy"], policy, changes)

    @classmethod
    def _where_trained(
        cls, about: RunSpec | TrainSuiteSpec | PolicyFile, policy: Input | Pending, changes: Mapping[str, Any]
    ) -> Self:
        simulator, options = changes.get("simulator", about.simulator), dict(about.simulator_options)
        if simulator != about.simulator:
            kept = () if simulator == suites.SUITE else GROUND_OPTIONS
            options = {name: value for name, value in options.items() if name in kept}
        fields = {"task": about.task, "simulator": simulator, "algorithm": about.algorithm, "seeds": about.seeds}
        options |= changes.get("simulator_options", {})
        return cls(**{**fields, **changes, "inputs": {"policy": policy}, "simulator_options": options})

    @property
    def members(self) -> tuple[Member, ...]:
        """One a training seed."""
        return tuple(Member(seed=seed) for seed in self.seeds)

    @property
    def in_suite(self) -> bool:
        """Whether the task is one of a suite, which no simulator of ours computes."""
        return self.simulator == suites.SUITE

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """The simulator, if it is one of ours."""
        return () if self.in_suite else (self.simulator,)

    @property
    def takes_the_machine(self) -> bool:
        """Whether worker processes run the task: in a suite."""
        return self.in_suite

    @property
    def cpu_threads(self) -> int:
        """Small networks are quickest on one."""
        return 1

    @property
    def amount(self) -> float:
        """Episodes."""
        return float(self.evaluation_episodes * len(self.seeds))

    @property
    def label(self) -> str:
        """What a person calls the run."""
        return self.called("evaluate", self.task, self.simulator, self.algorithm, "exploring" if self.explore else "")

    def to_dict(self) -> dict[str, Any]:
        """The fields, and the budget that tables know a run by."""
        return {"env_steps": 0, **configs.to_json(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a spec from JSON values; what `to_dict` derived may be left out.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        return configs.from_json(cls, {name: value for name, value in values.items() if name != "env_steps"})


class EvaluateJob(Job):
    """Policies and the worlds that they act in; all episodes are played side by side, in one piece.

    Args:
        spec: the run.
        folder: not used.

    Raises:
        UsageError: the device is absent; the policies are damaged, have changed, lack a seed, or do not fit the task.
    """

    spec_class = EvaluateSpec
    clock = "evaluate"
    evaluations = 1
    reports = 0

    def __init__(self, spec: EvaluateSpec, folder: Path | None = None) -> None:
        self.device = envs.resolve_device(spec.device, *spec.computing_simulators)
        if self.device.type == "cpu":
            torch.set_num_threads(spec.cpu_threads)
        self._spec = spec
        path = spec.open_input("policy")
        about = read_policy(path)
        known = ", ".join(map(str, about.seeds))
        for seed in spec.seeds:
            if seed not in about.seeds:
                raise UsageError(f"seeds: {path} has no policy of seed {seed}; it has {known}")
        members = [about.seeds.index(seed) for seed in spec.seeds]
        self._about, self._policy = load_policy(path, members=members, device=self.device)
        seeds, episodes = drawn_seeds(spec.seeds, spec.draw), spec.evaluation_episodes
        env = (make_suite_env if spec.in_suite else make_env)(spec, self.device, seeds=seeds, worlds=episodes)
        self._evaluator = Evaluator(env, members=len(seeds))
        for name in ("observation_dim", "action_dim"):
            known, given = getattr(about, name), getattr(env, name)
            if known != given:
                raise UsageError(
                    f"task '{spec.task}' has {name}={given}, and the policies, trained on '{about.task}', {known}; "
                    "evaluate them on a task of the same robot"
                )
        self._noise = MemberStream(seeds, self.device, name="evaluate")
        self._result: EvaluationResult | None = None
        self.budget = Budget(unit="iterations", total=1)

    def compile(self) -> None:
        """Compiles the simulator."""
        self._evaluator.compile()

    @property
    def compile_seconds(self) -> float:
        """Time that the simulator has spent compiling so far [s]."""
        return self._evaluator.compile_seconds

    def describe(self, record: RunRecord) -> None:
        """Notes the task's fingerprint, and where the policies come from."""
        env = self._evaluator.env
        if record.task_hash is None and not isinstance(env, SuiteTaskEnv):
            record.task_hash = task_hash(env)
        record.gradient_source = self._about.gradient_source  # type: ignore[assignment]  # pydantic checks it
        where = {"task": self._about.task, "simulator": self._about.simulator}
        record.details = {"trained": where | ({"options": dict(o)} if (o := self._about.simulator_options) else {})}

    def counts(self) -> Counts:
        """Nothing is trained."""
        return Counts()

    def advance(self) -> Mapping[str, Tensor]:
        """Plays all episodes."""

        def stop() -> bool:
            self.told("episodes", 0, 1)  # raises where the run is asked to stop
            return False

        self._result = self._evaluator(self._act, stop=stop)
        return {}

    def evaluate(self, stop: Callable[[], bool]) -> EvaluationResult | None:
        """What they came to."""
        return self._result

    def state_dict(self) -> dict[str, Any]:
        """What they came to, if they are through."""
        return {"result": None if self._result is None else dataclasses.asdict(self._result)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Need not play them again."""
        self._result = None if state["result"] is None else EvaluationResult(**state["result"])

    def close(self) -> None:
        """Ends the processes of a suite's worlds."""
        self._evaluator.close()

    def _act(self, obs: Tensor) -> Tensor:
        if not self._spec.explore:
            return self._policy(obs)
        noise = self._noise.normal(obs.shape[1], self._about.action_dim, dtype=obs.dtype)
        return self._policy.explore(obs, noise)
