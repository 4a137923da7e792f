"""What a run is: everything that determines its numbers, with a content hash as its name."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from pwm_bench import configs, registry
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.jobs.tuning import check_tunings
from pwm_bench.learning.choices import check_graphed
from pwm_bench.learning.preset import Preset
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.schema import Member
from pwm_bench.store.spec import Spec, plain_options

__all__ = ["LIMITS", "PRECISIONS", "RunSpec", "default_env_steps"]

PRECISIONS = ("float32", "bfloat16")
LIMITS = ("gradient_steps", "policy_gradient_steps", "cpu_seconds")
"""Units of `RunSpec.limits`."""
_PLAIN = ("task", "simulator", "algorithm", "precision", "device", "graphed", "study", "variant")
"""Fields that are names."""
_TYPED = (*_PLAIN, "inputs")
_DEFAULT_ENV_STEPS = {
    "cartpole": 200_000,
    "double_pendulum": 200_000,
    "pendulum": 200_000,
    "hopper": 300_000,
    "ant": 2_000_000,
}


def default_env_steps(task: str) -> int:
    """Budget per seed where none is given."""
    return _DEFAULT_ENV_STEPS.get(task, 1_000_000)


@dataclass(frozen=True, kw_only=True)
class RunSpec(Spec):
    """One run: a population of seeds of one algorithm on one task in one simulator.

    Build it with `RunSpec.create`, which fills the config from the algorithm's recipe.

    Raises:
        UsageError: an impossible value.
    """

    kind: ClassVar[str] = "train"
    task: str
    """One of `pwm_bench.envs.tasks`."""
    simulator: str
    """One of `pwm_bench.envs.simulators`."""
    algorithm: str
    """One of `pwm_bench.registry.algorithms`."""
    config: Mapping[str, Any]
    """The algorithm's config, fully resolved, as JSON-able values; what was tuned takes the place of some of them."""
    env_steps: int
    """Environment steps (control steps, summed over a member's worlds) that each member trains for."""
    seeds: tuple[int, ...] = (0,)
    """One population member a seed."""
    simulator_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of `pwm_bench.envs.make` beyond the task's own, e.g. ``{"substeps": 8}``."""
    precision: str = "float32"
    """``"float32"``, or ``"bfloat16"`` autocast for learners that offer it."""
    evaluations: int = 11
    """Evaluations at evenly spaced environment steps; the first is the untrained policy, the last the final one."""
    evaluation_episodes: int = 16
    """Episodes per member in each evaluation, on seeds of their own."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Further budgets per member, of `LIMITS`: the run ends, with an evaluation, at the first of them or ``env_steps``,
    over which schedules still run. ``{"cpu_seconds": 60}`` ends after a minute of the processor's training time, all
    members together."""
    device: str = "auto"
    """``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; see `pwm_bench.envs.resolve_device`."""
    graphed: str = "auto"
    """Whether updates are launched as CUDA graphs: ``"auto"``, ``"on"`` or ``"off"``; see
    `pwm_bench.learning.graphed.graphs_of`. Not part of the id."""
    study: str = "single"
    """Folder that the run is filed under."""
    variant: str = field(default="", metadata=configs.LATER)
    """What tables and figures call the run among others of its algorithm, e.g. ``"five models"``; where it is empty,
    they tell runs apart by their settings."""
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    """``tuning``, or ``tuning.0``, ``tuning.1`` ...: what runs of kind ``tune`` have left. The setting that did best
    there, over all of them, takes the place of the config's values."""
    asked: tuple[Preset, Mapping[str, Any]] | None = field(default=None, compare=False, repr=False)
    """Preset and changes that the config was made of, so that it can be made again with another one. It is not part of
    what `to_dict` gives."""

    def __post_init__(self) -> None:
        seeds = self.seeds if isinstance(self.seeds, (list, tuple)) else (self.seeds,)
        if not seeds or any(isinstance(s, bool) or not isinstance(s, int) or not 0 <= s < 2**31 for s in seeds):
            raise UsageError(f"seeds={list(seeds)}: must be whole numbers from 0 to 2^31 - 1, at least one")
        if len(set(seeds)) != len(seeds):
            raise UsageError(f"seeds={list(seeds)}: must differ from each other")
        object.__setattr__(self, "seeds", tuple(seeds))
        for name, least in (("env_steps", 1), ("evaluations", 2), ("evaluation_episodes", 1)):
            value = getattr(self, name)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
                object.__setattr__(self, name, value)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name}={value}: must be a whole number of at least {least}")
            configs.check_size(value, name)
        for name in self.inputs:
            if name.partition(".")[0] != "tuning":
                raise unknown("input", name, ("tuning",))
        for name in ("config", "simulator_options"):
            if not isinstance(getattr(self, name), Mapping):
                raise UsageError(f"{name}={getattr(self, name)!r}: must be an object of named values")
            _check_json(getattr(self, name), name)
        object.__setattr__(self, "simulator_options", plain_options(self.simulator_options))
        if not isinstance(self.limits, Mapping):
            raise UsageError(f"limits={self.limits!r}: must be an object, unit -> budget")
        for unit, limit in self.limits.items():
            if unit not in LIMITS:
                raise unknown("unit of a budget", unit, ("env_steps", *LIMITS))
            if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0.0:
                raise UsageError(f"limits: {unit}={limit!r}: must be a positive number")
            configs.check_size(limit, f"limits: {unit}")
        self.check_place(self.device)
        check_graphed(self.graphed)

    @classmethod
    def create(
        cls,
        *,
        task: str,
        simulator: str,
        algorithm: str,
        preset: Preset = "cpu",
        overrides: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> RunSpec:
        """Builds a spec whose config is the algorithm's recipe for the task and simulator, with some fields changed.

        Args:
            task: task name.
            simulator: simulator name.
            algorithm: algorithm name.
            preset: which of the algorithm's two recipes, "cpu" or "published".
            overrides: config field -> value; nested fields by dots.
            fields: the other fields of `RunSpec`; ``env_steps`` depends on the task by default.

        Raises:
            UsageError: unknown names (the nearest is suggested), impossible values or combinations.
        """
        names = [f.name for f in dataclasses.fields(cls) if f.name not in ("config", "asked")]
        for name in fields:
            if name not in names:
                raise unknown("field of the spec", name, names)
        registry.check_names(task, simulator, algorithm)
        config = configs.override(registry.learner_package(algorithm).recipe(task, simulator, preset), overrides or {})
        own = getattr(config, "precision", "float32")
        precision = fields.setdefault("precision", own)
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        if precision != own:
            if not hasattr(config, "precision"):
                raise UsageError(f"precision={precision}: algorithm '{algorithm}' runs in float32 only")
            config = configs.override(config, {"precision": precision})
        resolved = configs.to_json(configs.override(config, configs.to_json(config)))  # floats written 1 become 1.0
        fields.setdefault("env_steps", default_env_steps(task))
        asked = (preset, dict(overrides or {}))
        return cls(task=task, simulator=simulator, algorithm=algorithm, config=resolved, asked=asked, **fields)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        left_out = ("asked",) if self.inputs else ("asked", "inputs")
        return {name: value for name, value in configs.to_json(self).items() if name not in left_out}

    @classmethod
    def study_keys(cls) -> Mapping[str, Any]:
        """The fields, and the preset that settings are changes of."""
        return {name: hint for name, hint in super().study_keys().items() if name not in ("asked", "limits")} | {
            "preset": str,
            "budget": Mapping[str, float],
        }

    @classmethod
    def draft(cls, fields: Mapping[str, Any], settings: Mapping[str, Any], reads: Mapping[str, Spec]) -> RunSpec:
        """The run that a person asks for: with the preset's settings for the task and simulator, Warp by default.

        Raises:
            UsageError: unknown or missing fields, or impossible values.
        """
        values = {"simulator": "warp", **fields}
        budget = values.pop("budget", {})
        for name in ("task", "algorithm"):
            if name not in values:
                raise UsageError(f"{name}: is missing; see `pwm-bench list {name}s`")
        spec = cls.create(overrides=settings, **values)
        for unit, amount in budget.items():
            spec = spec.until(unit, amount)
        return spec

    def changed(self, *, preset: str | None = None, settings: Mapping[str, Any] | None = None) -> RunSpec:
        """The same run with other settings.

        Args:
            preset: that settings are changes of; the run's own by default.
            settings: further changes.

        Raises:
            UsageError: unknown names, or impossible values; or the run's config was not made of a preset.
        """
        if self.asked is None:
            raise UsageError(f"preset={preset}: the settings of '{self.label}' were not made of a preset; leave it out")
        before, changes = self.asked
        names = [f.name for f in dataclasses.fields(self) if f.init and f.name not in ("config", "asked")]
        fields: dict[str, Any] = {name: getattr(self, name) for name in names}
        overrides = {**changes, **(settings or {})}
        return type(self).create(preset=cast(Preset, preset or before), overrides=overrides, **fields)

    def chosen(self, names: Iterable[str]) -> dict[str, Any]:
        """Those of some settings that somebody has given values other than the recipe's: name -> value.

        Args:
            names: of settings, nested ones by dots. A spec that was read from JSON gives all of them; there, values
                that neither preset has are taken to be given.
        """
        changes = self.config if self.asked is None else self.asked[1]
        if not {*self.config} <= {*changes}:
            given = configs.nested(changes)
            return {name: _at(self.config, name) for name in names if _at(given, name) is not None}
        recipe = registry.learner_package(self.algorithm).recipe
        known = [configs.to_json(recipe(self.task, self.simulator, preset)) for preset in typing.get_args(Preset)]
        values = {name: _at(self.config, name) for name in names}
        return {name: value for name, value in values.items() if all(value != _at(one, name) for one in known)}

    def check_reads(self, reads: Mapping[str, Spec]) -> None:
        """Refuses tunings that say nothing about this run, see `check_tunings`."""
        tunings = [one for one in reads.values() if one.kind == "tune"]
        if tunings:
            check_tunings(self, cast(Any, tunings))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunSpec:
        """Builds a spec from JSON values. A ``config`` may be partial: the recipe supplies the rest.

        Raises:
            UsageError: unknown or missing fields, unknown names, impossible values.
        """
        names = [f.name for f in dataclasses.fields(cls) if f.name != "asked"]
        for name in values:
            if name not in names:
                raise unknown("field of the spec", name, names)
        for name in ("task", "simulator", "algorithm", "env_steps"):
            if name not in values:
                raise UsageError(f"the spec lacks '{name}': add it, or write one with `pwm-bench run --write-spec`")
        fields = dict(values)
        if not isinstance(fields.get("config", {}), Mapping):
            raise UsageError("config: must be an object of named values")
        overrides, hints = fields.pop("config", {}), typing.get_type_hints(cls)
        fields |= {name: configs.coerce(fields[name], hints[name], name) for name in _TYPED if name in fields}
        return cls.create(overrides=overrides, **fields)

    def until(self, unit: str, amount: float) -> RunSpec:
        """The same run with another budget.

        Args:
            unit: ``env_steps``, over which schedules run too, or one of `LIMITS`, at which the run ends as well.
            amount: per member.

        Raises:
            UsageError: unknown unit, or an impossible amount.
        """
        if unit == "env_steps":
            return dataclasses.replace(self, env_steps=amount)  # type: ignore[arg-type]
        whole = isinstance(amount, int) and not isinstance(amount, bool)  # 5000 and 5e3 are the same budget and id
        return dataclasses.replace(self, limits={**self.limits, unit: float(amount) if whole else amount})

    @property
    def members(self) -> tuple[Member, ...]:
        """One a seed."""
        return tuple(Member(seed=seed) for seed in self.seeds)

    @property
    def computing_simulators(self) -> tuple[str, ...]:
        """The simulator."""
        return (self.simulator,)

    @property
    def counts_time(self) -> bool:
        """Whether it ends at a number of processor seconds."""
        return "cpu_seconds" in self.limits

    @property
    def cpu_threads(self) -> int | None:
        """The learner's."""
        return registry.learner_package(self.algorithm).cpu_threads

    @property
    def amount(self) -> float:
        """Environment steps."""
        return float(self.env_steps)

    @property
    def label(self) -> str:
        """What a person calls the run, e.g. ``"hopper · warp · shac"``."""
        return self.called(self.task, self.simulator, self.algorithm)


def _at(config: Mapping[str, Any], name: str) -> Any:
    """A setting by its dotted name; None if there is no such one."""
    value: Any = config
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _check_json(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_json(item, f"{where}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _check_json(item, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}={value}: must be finite")
    elif not isinstance(value, (str, int, float, bool, type(None))):
        raise UsageError(f"{where}={value!r}: not a JSON value")
