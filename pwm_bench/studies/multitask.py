"""Named multi-task experiments: collect data, train one world model, extract experts, compare ways to act.

A pipeline is written as the commands that it consists of, so that every stage can be repeated, changed or gone on with
by hand. Each leaves something on the disk and does nothing when that is complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from envs.errors import UsageError
from pwm_bench.store.listing import scan
from pwm_bench.store.results import FINISHED, Results, RunDirectory

__all__ = ["PIPELINES", "Pipeline", "Stage", "describe", "stages"]

_CHUNKS = "chunk_*.pt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """A multi-task experiment. Its fields hold further words of the commands, see `stages`.

    ``collect`` and ``pretrain`` are None where the user brings a dataset and a world model along.
    """

    description: str
    tasks: tuple[str, ...]
    """Names, or one suite."""
    collect: tuple[str, ...] | None
    pretrain: tuple[str, ...] | None
    sizes: tuple[str, ...] = ()
    """Of the first world model, which those of the rounds go on with."""
    steps: tuple[int, ...] = ()
    """Gradient steps of the world model: before the first round, after it, and so on."""
    round_extract: tuple[str, ...] = ()
    """A round extracts policies from the model as it is,"""
    round_collect: tuple[str, ...] = ()
    """collects episodes that these play, and trains the model on: what it believed wrongly, it learns."""
    extracts: tuple[tuple[str, ...], ...]
    """One extraction each, from the same model and data; others are compared with the one begun last."""
    clones: tuple[tuple[str, ...], ...]
    """One behaviour cloning each."""
    compare: tuple[str, ...] | None
    """None compares nothing more."""
    episodes: int
    """Per policy in the last evaluation, the same for all ways to act."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A command of a pipeline."""

    purpose: str
    arguments: tuple[str, ...]
    """What follows ``pwm-bench``."""
    makes: Path
    """What must be there afterwards."""


MT10 = (
    "mw-reach",
    "mw-push",
    "mw-pick-place",
    "mw-door-open",
    "mw-drawer-open",
    "mw-drawer-close",
    "mw-button-press-topdown",
    "mw-peg-insert-side",
    "mw-window-open",
    "mw-window-close",
)
"""Meta-World's own selection of ten tasks. Source: Yu et al., "Meta-World", CoRL 2019, MT10."""
_FOURTEEN = (*MT10, "cartpole-swingup", "cup-catch", "walker-walk", "cheetah-run")

# Data that knows what works and what fails: experts with little, some and much noise, and random actions.
_MIXED = ("--learner", "ppo", "--noise", "0.1", "0.5", "1.0", "--random-share", "0.25")
# Sized for an hour on two CPU cores: an eighth of the published batch, so that many more steps fit into it, and no Q
# functions, which PWM does not use and which cost three times as much as the rest.
_CPU_SIZES = ("--size", "5M", "--model-set", "num_q=0")
_CPU_MODEL = ("--set", "learn_values=false", "--set", "batch_size=128", "--balanced", "--precision", "bfloat16")
# A quarter of the published critic steps in smaller critics: these are most of the work beside a 5M model.
_CPU_POLICY = (
    "--precision", "bfloat16", "--set", "critic_iterations=2", "--set", "critic_hidden=[256,128]",
)  # fmt: skip
# Not PWM as published: see `ExtractionConfig.imitation`.
_IMITATION = ("--set", "imitation=30")
_SMALL_PLANNER = ("--planner-set", "samples=128", "--planner-set", "policy_samples=8", "--planner-set", "elites=16")

PIPELINES: Mapping[str, Pipeline] = {
    "multitask-quick": Pipeline(
        description="From nothing to experts in a quarter of an hour on two CPU cores: two Meta-World tasks and one of "
        "dm_control, own data, a 1M world model, all experts together, beside behaviour cloning and TD-MPC2's planner.",
        tasks=("mw-reach", "mw-drawer-close", "cartpole-swingup"),
        collect=("--episodes", "60", "--train-steps", "50000", *_MIXED),
        pretrain=("--set", "batch_size=128", "--balanced"),
        sizes=("--size", "1M"),
        steps=(800,),
        extracts=tuple(("--iterations", "400", *_CPU_POLICY, "--evaluations", "3", *more) for more in (_IMITATION, ())),
        clones=(("--iterations", "2000"),),
        compare=("--arms", "tdmpc2-prior", "tdmpc2-planning", *_SMALL_PLANNER),
        episodes=5,
    ),
    "multitask": Pipeline(
        description="Meta-World's MT10 and four tasks of dm_control on a CPU: own data, a 5M world model trained for "
        "less than an hour, in part on what its own policies did, all experts together, beside behaviour cloning of "
        "all and of the best tenth of the data.",
        tasks=_FOURTEEN,
        collect=("--episodes", "300", "--train-steps", "150000", *_MIXED),
        pretrain=_CPU_MODEL,
        sizes=_CPU_SIZES,
        steps=(9000, 1500, 1500, 1500),
        round_extract=("--iterations", "200", *_CPU_POLICY, "--set", "batch_size=32", "--evaluations", "2"),
        round_collect=("--episodes", "50", "--noise", "0", "0.3"),
        extracts=(("--iterations", "400", *_CPU_POLICY),),
        clones=(("--iterations", "4000"), ("--iterations", "4000", "--best", "0.1")),
        compare=None,
        episodes=10,
    ),
    "multitask-offline": Pipeline(
        description="The same 14 tasks from recorded data alone, three seeds: PWM, PWM that also imitates the best "
        "tenth of the data, and behaviour cloning of all and of the best tenth.",
        tasks=_FOURTEEN,
        collect=("--episodes", "300", "--train-steps", "150000", *_MIXED, "--seed", "1"),
        pretrain=(*_CPU_MODEL, "--seed", "1"),
        sizes=_CPU_SIZES,
        steps=(9000,),
        extracts=tuple(
            ("--seeds", "3", "--iterations", "300", *_CPU_POLICY, "--set", "batch_size=32", "--evaluations", "2", *more)
            for more in (_IMITATION, ())
        ),
        clones=tuple(("--seeds", "3", "--iterations", "4000", *more) for more in (("--best", "0.1"), ())),
        compare=None,
        episodes=20,
    ),
}  # fmt: skip
for _suite in ("mt30", "mt80"):
    PIPELINES[_suite] = Pipeline(  # type: ignore[index]
        description=f"Published {_suite.upper()}, with --model a TD-MPC2 checkpoint and --data its dataset: all "
        "experts with the paper's settings, beside TD-MPC2's prior and planner, and PWM with planning; for a GPU.",
        tasks=(_suite,),
        collect=None,
        pretrain=None,
        extracts=(("--precision", "bfloat16"),),
        clones=(),
        compare=(),
        episodes=10,
    )


def describe(name: str) -> str:
    """One line about a pipeline."""
    return PIPELINES[name].description


def stages(
    name: str, results: Path, *, data: Path | None = None, model: Path | None = None, device: str | None = None
) -> Iterator[Stage]:
    """The commands of a pipeline, in order. Carry each out before asking for the next: later ones name what earlier
    ones have made.

    Args:
        name: one of `PIPELINES`.
        results: results folder. Data and model go to ``data/NAME`` and ``models/NAME`` in it, runs to study NAME.
        data: a dataset, or TD-MPC2's chunks, instead of collecting.
        model: a world model, or TD-MPC2's checkpoint, instead of training one.
        device: for all stages.

    Raises:
        UsageError: the pipeline needs data or a model that was not given.
    """
    pipeline = PIPELINES[name]
    place = ("--results", str(results), "--study", name)
    on = () if device is None else ("--device", device)
    for option, value, own in (("--data DIR", data, pipeline.collect), ("--model FILE", model, pipeline.pretrain)):
        if value is None and own is None:
            raise UsageError(f"'{name}' needs {option}; docs/multitask.md says where to get the published ones")
    store, study = Results(results), f"{name}-rounds"
    rounds = len(pipeline.steps) - 1 if model is None and data is None else 0
    if data is None:
        yield Stage("data", ("collect", *pipeline.tasks, *(pipeline.collect or ()), *place), store.study_path(name))
        data = _left(store, name, "collect", 0)
    elif any(data.glob(_CHUNKS)):
        source, data = data, results / "data" / name
        yield Stage("data", ("convert", str(source), str(data), "--suite", *pipeline.tasks), data)
    played = [data]
    if model is None:
        for number in range(rounds + 1):
            more = pipeline.sizes
            if number:
                assert model is not None
                yield from _round(pipeline, name, number, data, model, results, on)
                played.append(_left(store, study, "collect", number - 1))
                more = ("--continue-from", str(model))
            steps = ("--steps", str(pipeline.steps[number - rounds - 1]))
            words = ("pretrain", *map(str, played), *(pipeline.pretrain or ()), *more, *steps, *place, *on)
            purpose = "world model" + (f", round {number}" if number else "")
            yield Stage(purpose, words, store.study_path(name))
            model = _left(store, name, "pretrain", number)
    episodes = ("--evaluation-episodes", str(pipeline.episodes))
    made = store.study_path(name)
    for words in pipeline.clones:
        yield Stage("behaviour cloning", ("clone", str(data), *words, *episodes, *place, *on), made)
    source = (str(model), str(data), "--tasks", *pipeline.tasks)
    for words in pipeline.extracts:
        yield Stage("experts", ("extract", *source, *words, *episodes, *place, *on), made)
    if pipeline.compare is None:
        return
    which = ("--experts", str(_experts(store, name, -1)), *pipeline.compare, "--episodes", str(pipeline.episodes))
    yield Stage("other ways to act", ("compare", str(model), *which, *place, *on), made)


def _round(
    pipeline: Pipeline, name: str, number: int, data: Path, model: Path, results: Path, on: tuple[str, ...]
) -> Iterator[Stage]:
    """Policies from the model as it is, and what happens when they act."""
    store, study = Results(results), f"{name}-rounds"
    place = ("--results", str(results), "--study", study)
    words = (*pipeline.round_extract, *place, *on)
    extract = ("extract", str(model), str(data), "--tasks", *pipeline.tasks, *words)
    yield Stage(f"policies, round {number}", extract, store.study_path(study))
    run = _experts(store, study, number - 1)
    source = ("--policy", str(run), "--seed", str(number), *pipeline.round_collect)
    yield Stage(f"data, round {number}", ("collect", *pipeline.tasks, *source, *place), store.study_path(study))


def _left(results: Results, study: str, kind: str, which: int) -> Path:
    """What one of the study's finished runs of a kind has left, in the order of their beginning."""
    runs = [entry for entry in scan(results, [study]) if entry.kind == kind and entry.status in FINISHED]
    run = RunDirectory(Path(sorted(runs, key=lambda entry: entry.started_at)[which].path))
    (artifact,) = run.read().artifacts.values()
    return run.path / artifact.file


def _experts(results: Results, study: str, which: int) -> Path:
    """Run directory of one of the study's finished extractions, in the order of their beginning."""
    runs = [e for e in scan(results, [study]) if e.algorithm == "pwm-multitask" and e.status in FINISHED]
    if not runs:
        raise UsageError(
            f"{results.study_path(study)}: holds no finished extraction; look at the stage before this one"
        )
    return Path(sorted(runs, key=lambda entry: entry.started_at)[which].path)
