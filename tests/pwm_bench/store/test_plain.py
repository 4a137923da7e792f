"""A pipe, a socket or a device where a plain file belongs: every reader refuses it at once, and commands go on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pwm_bench.cli.main import main
from pwm_bench.collection import trained
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.rows import FILE, load_rows, read_table
from pwm_bench.jobs.policies import load_policy, read_policy
from pwm_bench.jobs.tuning import read_tuning
from pwm_bench.parity.golden.file import read_golden
from pwm_bench.parity.schema import ParityRecord
from pwm_bench.parity.stored import read_record
from pwm_bench.pwm.extraction.files import read_policies
from pwm_bench.pwm.model_files import read_model
from pwm_bench.store import checkpoint
from pwm_bench.store.files import JsonLines, write_atomic
from pwm_bench.store.inputs import Input, content_digest
from pwm_bench.store.json_text import parse_json
from pwm_bench.store.lock import HeldError, RunLock, holder
from pwm_bench.store.plain import open_plain, read_plain
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.verify import verify
from pwm_bench.world_model.dataset import Dataset
from pwm_bench.world_model.dataset.chunks import open_chunk
from pwm_bench.world_model.multitask.files import load_model, save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_files import read_tdmpc2
from tests.pwm_bench.store.factories import write_run
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data
from tests.pwm_bench.world_model.multitask.factories import tiny_config


@pytest.fixture(autouse=True)
def never_waits() -> Iterator[None]:
    """Ends a test that waits for the other end of a pipe; nothing here takes a second otherwise."""

    def stop(number: int, frame: object) -> None:
        raise AssertionError("a reader waits for a pipe")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # its name must be short
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(here)


KINDS: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "folder": Path.mkdir,
}


def put(kind: str, path: Path) -> None:
    """Puts something else in the place of a file."""
    path.unlink(missing_ok=True)
    KINDS[kind](path)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_a_plain_file_is_opened(tmp_path, kind):
    put(kind, tmp_path / "file")
    for opens in (read_plain, open_plain, lambda path: open_plain(path, "rb+"), lambda path: open_plain(path, "a")):
        with pytest.raises(OSError, match=r"plain file|directory|No such device"):
            opens(tmp_path / "file")
    write_atomic(tmp_path / "sound", b"abc")
    (tmp_path / "link").symlink_to("sound")
    assert read_plain(tmp_path / "link") == b"abc"


def _model(folder: Path) -> None:
    save_model(folder, MultitaskModel(tiny_config(latent_dim=8, hidden=(8,), num_q=2, encoder_hidden=(4,)), seed=0))


def _state(folder: Path) -> None:
    checkpoint.save(folder, {"x": torch.arange(4.0)}, spec_id="a" * 12)


def _data(folder: Path) -> None:
    write_linear_data(folder, episodes=2)


def _nothing(folder: Path) -> None:
    folder.mkdir()


def _load_state(folder: Path) -> None:
    checkpoint.load(folder, spec_id="a" * 12)


READERS: dict[str, tuple[Callable[[Path], Any], str, Callable[[Path], Any]]] = {
    "digest": (_nothing, "file", lambda folder: content_digest(folder / "file")),
    "input": (_nothing, "file", lambda folder: Input(path=str(folder / "file"), digest="0" * 64).open()),
    "log": (_nothing, "file", lambda folder: JsonLines(folder / "file").read()),
    "log of a digest": (_nothing, "file", lambda folder: JsonLines(folder / "file").read("0" * 64)),
    "log to cut": (_nothing, "file", lambda folder: JsonLines(folder / "file").truncate({"bytes": 0, "sha256": ""})),
    "record": (_nothing, "run.json", lambda folder: RunDirectory(folder).read()),
    "status": (_nothing, "run.json", lambda folder: RunDirectory(folder).status()),
    "state": (_state, "state.json", _load_state),
    "tensors of a state": (_state, "tensors-*", _load_state),
    "data": (_data, "dataset.json", Dataset),
    "shard": (_data, "shard-000000/shard.json", Dataset),
    "array": (_data, "shard-000000/obs.npy", Dataset),
    "episodes": (_data, "shard-000000/episodes.npy", Dataset),
    "model": (_model, "model.json", load_model),
    "weights": (_model, "model.safetensors", load_model),
    "policy": (_nothing, "file", lambda folder: read_policy(folder / "file")),
    "weights of a policy": (_nothing, "file", lambda folder: load_policy(folder / "file")),
    "extracted policies": (_nothing, "file", lambda folder: read_policies(folder / "file")),
    "model of a gradient": (_nothing, "file", lambda folder: read_model(folder / "file")),
    "behaviours": (_nothing, "behaviour.json", lambda folder: trained.load_policies(folder, "hopper")),
    "tuning": (_nothing, "file", lambda folder: read_tuning(folder / "file")),
    "released model": (_nothing, "file", lambda folder: read_tdmpc2(folder / "file")),
    "chunk": (_nothing, "file", lambda folder: open_chunk(folder / "file")),
    "golden trajectories": (_nothing, "file", lambda folder: read_golden(folder / "file")),
    "parity": (_nothing, "file", lambda folder: read_record(folder / "file", ParityRecord, 1, "measure it")),
}
"""Each with what writes what it reads, the file that is replaced, and the reader."""


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_refuses_a_pipe(tmp_path, reader):
    make, name, read = READERS[reader]
    make(tmp_path / "made")
    file = next((tmp_path / "made").glob(name), tmp_path / "made" / name)
    put("pipe", file)
    with pytest.raises(UsageError, match=str(tmp_path / "made")):
        read(tmp_path / "made")


def _finished(root: Path, name: str, seed: int) -> RunDirectory:
    directory = write_run(root, name, curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0], first_seed=seed)
    directory.spec_file.write_text("{}")
    directory.metrics.append({"iteration": 1})
    _state(directory.checkpoint)
    return directory


COMMANDS = {
    "ls": ("results", "ls", "s"),
    "ls of all": ("results", "ls", "--all"),
    "list": ("list", "runs"),
    "table": ("table", "s", "--format", "csv"),
    "plot": ("plot", "s", "--kind", "scores", "--format", "svg"),
    "report": ("report", "s"),
    "export": ("results", "export", "s", "--format", "csv"),
}


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_commands_go_on_past_a_run_with_something_else_in_place_of_a_file(tmp_path, capsys, kind):
    root = tmp_path / "results"
    _finished(root, "aaaa", 0)
    for number, name in enumerate(("run.json", "evaluations.jsonl"), 1):
        put(kind, _finished(root, f"bbb{number}", number).path / name)
    for name, words in COMMANDS.items():
        assert main([*words, "--results", str(root)]) == 0, name
        said = capsys.readouterr()
        for bad in ("bbb1", "bbb2"):
            assert f"/{bad}/" in said.err or (bad in said.out and words[1] in ("ls", "runs")), (name, said)
        assert "aaaa" in said.out or words[0] != "results" or words[1] == "export"
    others = ("spec.json", "metrics.jsonl", "checkpoint/state.json", "evaluations.jsonl", "run.json")
    for number, name in enumerate(others, 3):
        directory = _finished(root, f"ccc{number}", number)
        put(kind, directory.path / name)
        assert any(str(directory.path / name) in problem for problem in verify(directory)), name
    assert main(["results", "show", "bbb1", "--results", str(root)]) == 2
    assert main(["results", "merge", str(root), "--results", str(tmp_path / "other")]) == 1
    assert [path.name for path in (tmp_path / "other" / "runs" / "s").iterdir()] == ["aaaa"]
    assert main(["results", "merge", str(tmp_path / "other"), "--results", str(root)]) == 0


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_table_of_gradients_that_is_no_plain_file_is_named(tmp_path, kind):
    directory = _finished(tmp_path, "aaaa", 0)
    put(kind, directory.path / FILE)
    with pytest.raises(UsageError, match=str(directory.path / FILE)):
        read_table(directory)
    with pytest.raises(UsageError, match=str(directory.path / FILE)):
        load_rows(Results(tmp_path), "s")


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_a_lock_that_is_no_plain_file_is_held_by_nobody_and_taken_by_nobody(tmp_path, kind):
    put(kind, tmp_path / "lock")
    assert not holder(tmp_path / "lock")
    with pytest.raises(UsageError, match=str(tmp_path)) as error, RunLock(tmp_path / "lock"):
        pass
    assert not isinstance(error.value, HeldError)


def test_a_pipe_in_a_folder_of_data_that_is_an_input_is_refused(tmp_path):
    _data(tmp_path / "data")
    digest = content_digest(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    put("pipe", tmp_path / "copy" / "shard-000000" / "obs.npy")
    assert content_digest(tmp_path / "copy") != digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": {"b": 1, "c": 2, "b": 3}}', 'key "b" is there twice'), ("[" * 100_000, "nested too deeply"),
        ("{", "Expecting"), ('{"a": 1} 2', "Extra data"),
    ],
)  # fmt: skip
def test_json_that_could_be_read_in_two_ways_or_in_none_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parse_json(text)
    assert parse_json('{"a": [1, {"a": null}]}') == {"a": [1, {"a": None}]}
