"""Comparisons that belong in one table and figure, with the world models that they read, as a graph of runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.model_inputs import MODEL, model_input
from pwm_bench.gradients.models import ModelTraining
from pwm_bench.gradients.seeds import SEED
from pwm_bench.gradients.spec import POLICY, Comparison
from pwm_bench.jobs.train_model import TrainModelSpec
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.spec import Spec
from pwm_bench.studies.gradients import FILED_AS
from pwm_bench.sweeps.graph import Study

__all__ = ["Draft", "GradientStudy", "model_run"]


@dataclass(frozen=True)
class Draft:
    """A comparison as it is asked for: which world model it reads is settled, but that may still have to be trained.

    Attributes:
        fields: of `Comparison`, without ``inputs``.
        model: that of a PWM run, how a model is trained in each simulator, or a PWM run that leaves it; None for none.
        policy: the policies of a run, at whose states and actions gradients are taken, or a run that leaves them; None
            for random ones.

    Raises:
        UsageError: see `Comparison`.
    """

    fields: Mapping[str, Any]
    model: Input | ModelTraining | RunSpec | None = None
    policy: Input | RunSpec | None = None

    def __post_init__(self) -> None:
        self.comparison()

    def replace(self, **changes: Any) -> Draft:
        """A draft with some fields, the ``model`` or the ``policy`` changed."""
        model, policy = changes.pop("model", self.model), changes.pop("policy", self.policy)
        return Draft({**self.fields, **changes}, model, policy)

    def of_member(self, member: int) -> Draft:
        """A draft with another seed of the run that model or policy are of, by position."""
        model = {"member": member} if isinstance(self.model, Input | RunSpec) else {}
        return self.replace(**model, **({} if self.policy is None else {"policy_member": member}))

    def models(self) -> dict[str, TrainModelSpec]:
        """The trainings that it waits for, by simulator."""
        if not isinstance(self.model, ModelTraining):
            return {}
        known = {"task", "simulator_options", "seed", "device"} & set(self.fields)
        about = {name: self.fields[name] for name in known}
        return {s: TrainModelSpec(simulator=s, training=self.model, **about) for s in self._simulators}

    def runs(self) -> dict[str, RunSpec]:
        """The runs that it waits for, by name within the study."""
        return {_name_of(one): one for one in (self.model, self.policy) if isinstance(one, RunSpec)}

    def comparison(self, setting: Mapping[str, Any] | None = None) -> Comparison:
        """The comparison, with pending inputs where a model has to be trained.

        Args:
            setting: what distinguishes it from the others of its study.
        """
        inputs: dict[str, Input | Pending] = {}
        for name, one in ((MODEL, self.model), (POLICY, self.policy)):
            if isinstance(one, Input | RunSpec):
                inputs[name] = one if isinstance(one, Input) else Pending(_name_of(one), name)
        for simulator, spec in self.models().items():
            inputs[model_input(simulator)] = model_run(spec)[1]
        return Comparison(**{"setting": setting or {}, **self.fields, "inputs": inputs})

    @property
    def _simulators(self) -> tuple[str, ...]:
        given = self.fields.get("simulators", Comparison.simulators)
        return (given,) if isinstance(given, str) else tuple(given)


def model_run(spec: TrainModelSpec) -> tuple[str, Pending]:
    """The name of a training within a study, the same for all who need this model, and what waits for it."""
    name = _name_of(spec)
    return name, Pending(name, "model")


def _name_of(spec: TrainModelSpec | RunSpec) -> str:
    return f"{spec.label} ({spec.id})"


@dataclass(frozen=True, kw_only=True)
class GradientStudy:
    """Comparisons that belong in one table and figure.

    Attributes:
        name: what a person calls it.
        description: one line.
        cause: what varies from one comparison to the next, or "" for a single comparison.
        comparisons: value of the cause -> comparison.
        model_seeds: repeat each comparison with world models of these seeds; none repeats nothing.
        members: where model or policy are those of a run: which of its seeds, position -> seed; several repeat each
            comparison.
        about: what else is said of each comparison in tables, such as the name of that run.
    """

    name: str
    description: str
    cause: str = ""
    comparisons: Mapping[str, Draft] = field(default_factory=dict)
    model_seeds: tuple[int, ...] = ()
    members: Mapping[int, int] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for seed in self.model_seeds:
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
                raise UsageError(f"model seeds {list(self.model_seeds)}: must be whole numbers from 0 to 2^31 - 1")
        for draft in self.comparisons.values() if self.model_seeds else ():
            if not isinstance(draft.model, ModelTraining):
                raise UsageError(
                    f"model seeds {list(self.model_seeds)}: need a world model that is trained for the comparison; "
                    "leave them or --model out"
                )
        asked = [draft.comparison() for _, draft in self.runs()]
        if any(one == other for n, one in enumerate(asked) for other in asked[:n]):
            remedy = f"; leave out the option that replaces its {self.cause.replace('_', ' ')}" if self.cause else ""
            raise UsageError(f"study '{self.name}': two of its comparisons are the same{remedy}")

    @property
    def repeated(self) -> bool:
        """Whether each comparison is done with several seeds, or at least asked for so."""
        return bool(self.model_seeds) or len(self.members) > 1

    @property
    def folder(self) -> str:
        """The name that its runs are filed under: that of a task from outside has a colon, which not all disks take."""
        return f"{FILED_AS}{self.name.replace(':', '.')}"

    def runs(self) -> list[tuple[dict[str, Any], Draft]]:
        """All comparisons, repetitions included, each with what distinguishes it from the others."""
        found: list[tuple[dict[str, Any], Draft]] = []
        for value, draft in self.comparisons.items():
            setting = {**({self.cause: value} if self.cause else {}), **self.about}
            for member, seed in self.members.items():
                found.append((setting | {SEED: seed}, draft.of_member(member)))
            if not self.model_seeds and not self.members:
                found.append((setting, draft))
            for seed in self.model_seeds:
                assert isinstance(draft.model, ModelTraining)
                model = dataclasses.replace(draft.model, seed=seed)
                found.append((setting | {SEED: seed}, draft.replace(model=model)))
        return found

    def graph(self) -> Study:
        """Its runs: each world model and each policy once, and the comparisons that read them."""
        nodes: dict[str, Spec] = {}
        of_others: dict[str, RunSpec] = {}
        for setting, draft in self.runs():
            of_others |= draft.runs()
            nodes |= {model_run(spec)[0]: spec for spec in draft.models().values()}
            name = " ".join(f"{name}={value}" for name, value in setting.items()) or draft.comparison().label
            nodes[name] = draft.comparison(setting)
        return Study(
            name=self.folder,
            description=self.description,
            nodes=of_others | nodes,
            metric="cosine",
            of_others=frozenset(of_others),
        )
