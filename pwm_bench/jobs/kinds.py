"""The kinds of work there are, and the one way to carry out a run of any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.plugins import Registry
from pwm_bench.store.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pwm_bench.runs.job import Job
    from pwm_bench.runs.outcome import Outcome
    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec

__all__ = ["KINDS", "carry_out", "job_class", "read_spec", "spec_class", "spec_from"]

KINDS = Registry(
    "kind of work",
    "pwm_bench.kinds",
    {
        "import": "pwm_bench.jobs.import_released:ImportJob",
        "collect": "pwm_bench.jobs.collect:CollectJob",
        "train-behaviour": "pwm_bench.jobs.behaviour:BehaviourJob",
        "train-suite": "pwm_bench.jobs.train_suite:TrainSuiteJob",
        "pretrain": "pwm_bench.jobs.pretrain:PretrainJob",
        "train": "pwm_bench.jobs.train:TrainJob",
        "tune": "pwm_bench.jobs.tune:TuneJob",
        "extract": "pwm_bench.jobs.extract:ExtractJob",
        "clone": "pwm_bench.jobs.clone:CloneJob",
        "evaluate": "pwm_bench.jobs.evaluate:EvaluateJob",
        "compare": "pwm_bench.jobs.compare:CompareJob",
        "train-model": "pwm_bench.jobs.train_model:TrainModelJob",
        "compare-gradients": "pwm_bench.jobs.gradients:ComparisonJob",
        "landscape": "pwm_bench.jobs.gradients:LandscapeJob",
        "ball-wall": "pwm_bench.jobs.gradients:BallWallJob",
        "double-pendulum": "pwm_bench.jobs.gradients:PendulumJob",
    },
    lambda thing: "" if hasattr(thing, "spec_class") and callable(thing) else "it must be a Job with a 'spec_class'",
)
"""Each is a `Job` that is built from its spec and the run's directory; its ``spec_class`` has the kind's name."""


def spec_class(kind: str) -> type[Spec]:
    """The spec of a kind of work.

    Raises:
        UsageError: there is no such kind, or it cannot be imported.
    """
    return job_class(kind).spec_class


def job_class(kind: str) -> type[Job]:
    """The job of a kind of work.

    Raises:
        UsageError: there is no such kind, or it cannot be imported.
    """
    found: type[Job] = KINDS.load(kind)
    if found.spec_class.kind != kind:
        raise UsageError(
            f"kind of work '{kind}': its spec calls itself '{found.spec_class.kind}', by which worker processes cannot "
            f"find it; set kind = '{kind}' in {found.spec_class.__name__}"
        )
    return found


def spec_from(kind: str, values: Mapping[str, Any]) -> Spec:
    """The spec that a record of this kind holds.

    Raises:
        UsageError: there is no such kind, or the values are not its spec.
    """
    return spec_class(kind).from_dict(values)


def read_spec(text: str, *, source: str = "spec") -> Spec:
    """The spec of any kind that a JSON text describes; without a ``kind`` it is training.

    Args:
        text: JSON, as `Spec.to_json` writes it.
        source: how errors call it, e.g. a file name.

    Raises:
        UsageError: not JSON, no such kind, or not its spec.
    """
    kind, values = parse_spec(text, source=source)
    return spec_from("train" if kind is None else kind, values)


def carry_out(spec: Spec, results: Results, **options: Any) -> Outcome:
    """Brings a run of any kind to its end.

    Args:
        spec: what to run.
        results: where its directory lies.
        options: those of `pwm_bench.runs.execute.execute`.

    Raises:
        UsageError: see `pwm_bench.runs.execute.execute`; or what the job says of its spec.
    """
    from pwm_bench.runs.execute import execute  # it takes torch along

    return execute(spec, results, lambda folder: job_class(spec.kind)(spec, folder), **options)  # type: ignore[call-arg]
