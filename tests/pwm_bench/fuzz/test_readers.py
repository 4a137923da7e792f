"""Readers and damaged files: an error that names the file, or the content as it was; never a traceback."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import read_spec
from pwm_bench.pwm.released import is_agent, is_multitask, read_agent, read_world_model
from pwm_bench.store import checkpoint
from pwm_bench.store.frames import load_study
from pwm_bench.store.identity import identity
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.seal import seal, without_seal
from pwm_bench.store.verify import verify
from pwm_bench.world_model.dataset import Dataset
from pwm_bench.world_model.dataset.chunks import open_chunk
from pwm_bench.world_model.inert import load_inert
from pwm_bench.world_model.multitask.files import load_model, save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_files import read_tdmpc2
from tests.pwm_bench.fuzz import mutations
from tests.pwm_bench.pwm import released_files
from tests.pwm_bench.store.factories import write_run
from tests.pwm_bench.world_model.dataset.chunk_files import columns
from tests.pwm_bench.world_model.multitask import factories
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

SPEC = "0123456789ab"
INPUTS = pytest.mark.parametrize("inputs", [120, pytest.param(3000, marks=pytest.mark.slow)])


def _check(reads: Callable[[], Any], expected: Any, what: object) -> bool:
    """Whether the reader accepted the file: only with the content that it should have, where there is one."""
    try:
        found = reads()
    except UsageError:
        return False
    assert expected is None or found == expected, what
    return True


def _model(folder: Path) -> tuple:
    model = load_model(folder)
    return model.config, {name: value.tolist() for name, value in model.state_dict().items()}


def _data(folder: Path) -> tuple:
    data = Dataset(folder, verify=True)
    parts = [(s.obs.tolist(), s.action.tolist(), s.reward.tolist(), s.episodes.tolist()) for s in data.shards]
    return data.tasks, repr(parts)


def _state(folder: Path) -> str:
    return repr(checkpoint.load(folder, spec_id=SPEC).state)


def _run(folder: Path) -> str:
    directory = RunDirectory(folder)
    record = directory.read()
    if problems := verify(directory):
        raise UsageError(problems[0])
    return record.model_dump_json() + repr(directory.evaluations.read())


def _make_model(folder: Path) -> None:
    config = factories.tiny_config(latent_dim=8, hidden=(8,), num_q=2, encoder_hidden=(4,))
    save_model(folder, MultitaskModel(config, seed=0))


def _make_state(folder: Path) -> None:
    state = {"x": torch.arange(4.0), "list": [1, 2.5, "a"], "nested": {"y": torch.ones(2, 2), 3: (None, True)}}
    checkpoint.save(folder, state, spec_id=SPEC)


def _make_run(root: Path) -> Path:
    """A finished run as a process leaves it: under its spec's id, with digests of its logs."""
    directory = write_run(root, "aaa", curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0])
    record = directory.read()
    record.id = identity(record.kind, record.spec)
    record.logs = {directory.evaluations.path.name: content_digest(directory.evaluations.path)}
    directory.spec_file.write_text(json.dumps({"kind": record.kind, **record.spec}))
    directory.write(record)
    return directory.path.rename(directory.path.with_name(record.id))


def _shown(root: Path) -> str | None:
    """What tables know of the run; None if they leave it out and say so."""
    loaded = load_study(Results(root), "s")
    if loaded.damaged:
        return None
    (run,) = loaded.runs
    return run.record.model_dump_json() + repr(run.curves.to_json())


OURS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any], tuple[str, ...]]] = {
    "model": (_make_model, _model, ("model.json", "model.safetensors")),
    "data": (
        lambda folder: write_linear_data(folder, episodes=2), _data,
        ("dataset.json", "shard-000000/shard.json", "shard-000000/obs.npy", "shard-000000/episodes.npy"),
    ),
    "checkpoint": (_make_state, _state, ("state.json", "*.safetensors")),
}  # fmt: skip
"""Each with what writes it, what reads it, and its files."""


@INPUTS
@pytest.mark.parametrize("kind", OURS)
def test_our_own_files_are_read_as_they_were_written_or_not_at_all(tmp_path, kind, inputs) -> None:
    make, read, names = OURS[kind]
    make(tmp_path / kind)
    expected, chance = read(tmp_path / kind), random.Random(kind)
    files = [next((tmp_path / kind).glob(name)) for name in names]
    for number in range(inputs):
        file = chance.choice(files)
        whole = file.read_bytes()
        if file.suffix == ".json" and chance.random() < 0.6:
            file.write_bytes(mutations.text(mutations.altered(json.loads(whole), chance), chance))
        else:
            file.write_bytes(mutations.data(whole, chance))
        _check(lambda: read(tmp_path / kind), expected, (number, file.name, file.read_bytes()[:300]))
        file.write_bytes(whole)
    assert read(tmp_path / kind) == expected


@INPUTS
@pytest.mark.parametrize("kind", OURS)
def test_a_description_with_a_right_checksum_is_still_validated(tmp_path, kind, inputs) -> None:
    """What a person or a program writes who knows of the checksum."""
    make, read, names = OURS[kind]
    make(tmp_path / kind)
    chance, accepted = random.Random(kind), 0
    files = [tmp_path / kind / name for name in names if name.endswith(".json")]
    for number in range(inputs):
        file = chance.choice(files)
        whole = file.read_bytes()
        content = mutations.altered(without_seal(json.loads(whole)), chance)
        try:
            file.write_bytes(seal(content).encode())
        except RecursionError:
            continue
        accepted += _check(lambda: read(tmp_path / kind), None, (number, file.name, file.read_bytes()[:300]))
        file.write_bytes(whole)
    assert accepted < inputs


def _tdmpc2(path: Path) -> None:
    read_tdmpc2(path, factories.TOLD)


def _chunk(path: Path) -> None:
    open_chunk(path)


def _agent(path: Path) -> None:
    content = load_inert(path, what="an agent", remedy="fetch it again", packages=("pwm",))
    if not is_agent(content):
        raise UsageError("no agent")
    agent = read_agent(content, "agent")
    if not is_multitask(content):
        read_world_model(content, agent, "agent")


def _tdmpc2_content(path: Path) -> Any:
    factories.write_tdmpc2(path, factories.tiny_weights(), "new")
    content = torch.load(path, weights_only=True)
    return content | {"pwm_bench": {"bin_limit": 10.0, "tasks": ["a", "b", "c"], "log_std_min": -10.0}}


FOREIGN: dict[str, tuple[Callable[[Path], Any], Callable[[Path], None]]] = {
    "tdmpc2": (_tdmpc2_content, _tdmpc2),
    "chunk": (lambda path: columns(3), _chunk),
    "agent": (lambda path: released_files.agent(7, 3), _agent),
}
"""Each with a content, and what reads it from a file."""


@INPUTS
@pytest.mark.parametrize("kind", FOREIGN)
def test_files_of_other_programs_are_read_or_refused(tmp_path, kind, inputs) -> None:
    content_of, read = FOREIGN[kind]
    file, chance = tmp_path / "file.pt", random.Random(kind)
    content = content_of(file)
    torch.save(content, file)
    read(file)
    whole = file.read_bytes()
    for number in range(inputs):
        if chance.random() < 0.6:
            torch.save(mutations.altered(content, chance), file)
        else:
            file.write_bytes(mutations.data(whole, chance))
        _check(lambda: read(file), None, number)


@INPUTS
def test_records_are_read_as_they_were_written_or_found_out(tmp_path, inputs) -> None:
    """By what reads and verifies one run, and by what tables read: the same numbers, or a message."""
    folder = _make_run(tmp_path)
    expected, shown = _run(folder), _shown(tmp_path)
    assert shown is not None
    chance, same = random.Random(3), 0
    for number in range(inputs):
        file = folder / chance.choice(("run.json", "evaluations.jsonl"))
        whole = file.read_bytes()
        if file.suffix == ".json" and chance.random() < 0.6:
            damaged = mutations.text(mutations.altered(json.loads(whole), chance), chance)
        else:
            damaged = mutations.data(whole, chance)
        file.write_bytes(damaged)
        what = (number, file.name, damaged[:300])
        same += _check(lambda: _run(folder), expected, what)
        assert _shown(tmp_path) in (None, shown), what
        file.write_bytes(whole)
    assert same < inputs / 10  # spaces, or one number for itself
    assert _run(folder) == expected


@INPUTS
def test_specs_are_read_or_refused(inputs) -> None:
    from pwm_bench.jobs.extract import ExtractionSpec
    from pwm_bench.jobs.import_released import ImportSpec
    from pwm_bench.jobs.train_spec import RunSpec
    from pwm_bench.store.inputs import Input

    one = Input(path="x", digest="0" * 64)
    specs = [
        RunSpec.create(task="hopper", simulator="warp", algorithm="shac", env_steps=1000),
        ExtractionSpec(tasks=("walker-run",), inputs={"model": one, "data": one}),
        ImportSpec(inputs={"checkpoint": one}, log_std=(-5.0, 0.5)),
    ]
    chance = random.Random(4)
    for number in range(inputs):
        values = mutations.altered(json.loads(chance.choice(specs).to_json()), chance)
        words = mutations.text(values, chance).decode()
        _check(lambda words=words: read_spec(words).id, None, (number, words[:500]))
