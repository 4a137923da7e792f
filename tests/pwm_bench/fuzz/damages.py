"""Kinds of damage: what can be done to each file and folder of `tests.pwm_bench.fuzz.world`, systematically."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from tests.pwm_bench.fuzz.world import Pair

Damage = Callable[[Path, Path], object]
"""Done to a file or folder, given the other one that it could be taken for."""


def _bytes(change: Callable[[bytes], bytes]) -> Damage:
    return lambda file, other: _put(file, change(file.read_bytes()))


def _put(file: Path, content: bytes) -> None:
    assert content != file.read_bytes(), file
    file.write_bytes(content)


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _as_folder(file: Path, other: Path) -> None:
    file.unlink()
    file.mkdir()


ANY_FILE: dict[str, Damage] = {
    "emptied": _bytes(lambda content: b""),
    "deleted": lambda file, other: file.unlink(),
    "cut in half": _bytes(lambda content: content[: len(content) // 2]),
    "without its last bytes": _bytes(lambda content: content[:-3]),
    "a bit turned": _bytes(lambda content: _flipped(content, len(content) * 2 // 3)),
    "zeros of the same size": _bytes(lambda content: bytes(len(content))),
    "twice in a row": _bytes(lambda content: content * 2),
    "that of another": lambda file, other: _put(file, other.read_bytes()),
    "a folder": _as_folder,
    "a pickle": _bytes(lambda content: b"\x80\x04}\x94."),
}


def _json(change: Callable[[Any], Any]) -> Damage:
    def damage(file: Path, other: Path) -> None:
        values = json.loads(file.read_text())
        changed = change(values)
        _put(file, json.dumps(values if changed is None else changed, indent=2).encode())

    return damage


def _at(path: str, change: Callable[[Any], Any]) -> Damage:
    """Changes one value: keys and indices by dots."""

    def damage(values: Any) -> None:
        *outer, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
        for key in outer:
            values = values[key]
        before = json.dumps(values[last])
        values[last] = change(values[last])
        assert json.dumps(values[last]) != before, path

    return _json(damage)


def _first_number(values: Any) -> Iterator[tuple[Any, Any]]:
    """Places of numbers, depth first."""
    for key, item in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(item, (dict, list)):
            yield from _first_number(item)
        elif isinstance(item, (int, float)) and not isinstance(item, bool):
            yield values, key


def _number(change: Callable[[Any], Any]) -> Damage:
    def damage(values: Any) -> None:
        place, key = list(_first_number(values))[-1]
        place[key] = change(place[key])

    return _json(damage)


ANY_JSON: dict[str, Damage] = {
    "a key more": _json(lambda values: {**values, "extra": 1}),
    "its first key missing": _json(lambda values: dict(list(values.items())[1:])),
    "its last key missing": _json(lambda values: dict(list(values.items())[:-1])),
    "a number one larger": _number(lambda number: number + 1),
    "a number that is NaN": _number(lambda number: math.nan),
    "a number that is a text": _number(str),
    "a list": _json(lambda values: [values]),
}


def as_fields(changes: dict[str, Callable[[Any], Any]]) -> dict[str, Damage]:
    """A kind of damage for each field."""
    return {f"{path} changed": _at(path, change) for path, change in changes.items()}


def _plus(amount: float) -> Callable[[Any], Any]:
    return lambda value: value + amount


RECORD: dict[str, Callable[[Any], Any]] = {
    "schema_version": _plus(1), "kind": lambda v: "clone", "id": lambda v: "0" * 12, "study": lambda v: "single",
    "spec.env_steps": _plus(20), "spec.seeds": lambda v: v[::-1], "spec.config.learning_rate": _plus(0.01),
    "spec.study": lambda v: "others", "spec.device": lambda v: "cuda", "status": lambda v: "diverged",
    "reason": lambda v: "one seed diverged", "task_hash": lambda v: v[::-1], "gradient_source": lambda v: "score",
    "gradient_check.cosine": lambda v: 0.5, "members.0.seed": _plus(5), "members.0.final_return": _plus(0.5),
    "members.1.untrained_return": _plus(-0.5), "members.1.status": lambda v: "diverged", "members": lambda v: v[:1],
    "counts.env_steps": _plus(1), "counts.gradient_steps": _plus(1), "counts.iterations": _plus(1),
    "clocks.train": _plus(0.5), "clocks.cpu": _plus(0.5), "memory.resident": _plus(1),
    "provenance.device": lambda v: "another", "provenance.threads": _plus(1), "provenance.code": lambda v: v[::-1],
    "attempts": _plus(1), "artifacts": lambda v: {"policy": {"file": "policy.pt", "digest": "0" * 64}},
    "logs": lambda v: {}, "started_at": lambda v: v.replace("20", "21"), "updated_at": lambda v: v.replace("20", "21"),
    "sha256": lambda v: None,
}  # fmt: skip
"""Fields of a finished run's record, each with a change that leaves it plausible."""
SPEC: dict[str, Callable[[Any], Any]] = {
    "kind": lambda v: "clone", "env_steps": _plus(20), "seeds": lambda v: v[::-1], "study": lambda v: "others",
    "config.learning_rate": _plus(0.01), "evaluations": _plus(1), "device": lambda v: "cuda",
}  # fmt: skip
STATE: dict[str, Callable[[Any], Any]] = {
    "version": _plus(1), "spec": lambda v: "0" * 12, "tensors.bytes": _plus(1), "tensors.sha256": lambda v: v[::-1],
    "tensors.file": lambda v: "none.safetensors", "state.items": lambda v: v[::-1], "sha256": lambda v: v[::-1],
    "state.items.0.0": lambda v: "work", "state.$": lambda v: "tuple",
}  # fmt: skip
MODEL: dict[str, Callable[[Any], Any]] = {
    "config.bin_limit": _plus(10), "config.simnorm_dim": _plus(-2), "config.tasks": lambda v: v[::-1],
    "weights": lambda v: v[::-1], "version": _plus(1),
}  # fmt: skip
HEADER: dict[str, Callable[[Any], Any]] = {
    "tasks": lambda v: v[::-1], "tasks.0.name": lambda v: "middle", "tasks.1.obs_dim": _plus(1), "obs_dim": _plus(1),
    "tasks.0.episode_length": _plus(1), "version": _plus(1),
}  # fmt: skip
SHARD: dict[str, Callable[[Any], Any]] = {
    "rows": _plus(1), "episodes": _plus(-1), "crc32.reward": _plus(1), "skipped": lambda v: {"left": 2},
    "source": lambda v: {"file": "x"}, "version": _plus(1),
}  # fmt: skip


def _lines(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    return _bytes(lambda content: b"".join(change(content.splitlines(keepends=True))))


def _line(change: Callable[[dict[str, Any]], None]) -> Damage:
    """Changes the values of the second line."""

    def damage(lines: list[bytes]) -> list[bytes]:
        values = json.loads(lines[1])
        change(values)
        return [lines[0], json.dumps(values, separators=(",", ":")).encode() + b"\n", *lines[2:]]

    return _lines(damage)


LOG: dict[str, Damage] = {
    "its last line torn": _lines(lambda lines: [*lines[:-1], lines[-1][:-9]]),
    "a line torn in the middle": _lines(lambda lines: [lines[0], lines[1][:-9] + b"\n", *lines[2:]]),
    "a line twice": _lines(lambda lines: [*lines[:2], *lines[1:]]),
    "a line missing in the middle": _lines(lambda lines: [lines[0], *lines[2:]]),
    "its first line missing": _lines(lambda lines: lines[1:]),
    "its last line missing": _lines(lambda lines: lines[:-1]),
    "two lines exchanged": _lines(lambda lines: [lines[1], lines[0], *lines[2:]]),
    "an empty line": _lines(lambda lines: [lines[0], b"\n", *lines[1:]]),
    "a foreign line": _lines(lambda lines: [lines[0], b'{"a": 1}\n', *lines[1:]]),
    "a time one second later": _line(lambda values: values.update(train_seconds=values["train_seconds"] + 1)),
    "a key more": _line(lambda values: values.update(extra=1)),
}
EVALUATIONS: dict[str, Damage] = {
    "a return a little larger": _line(lambda v: v["returns"][0].__setitem__(0, v["returns"][0][0] + 0.01)),
    "returns of two seeds exchanged": _line(lambda v: v["returns"].reverse()),
    "a return missing": _line(lambda v: v["returns"][1].pop()),
    "a return that is null": _line(lambda v: v["returns"][1].__setitem__(0, None)),
    "a length one larger": _line(lambda v: v["lengths"][0].__setitem__(0, v["lengths"][0][0] + 1)),
}


def _tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(file: Path, other: Path) -> None:
        tensors, before = load_file(file), file.read_bytes()
        change(tensors)
        save_file({name: value.contiguous() for name, value in tensors.items()}, file)
        assert file.read_bytes() != before

    return damage


def _exchanged(tensors: dict[str, torch.Tensor]) -> None:
    """Two of the same shape under each other's names."""
    names = list(tensors)
    for index, name in enumerate(names):
        for second in names[index + 1 :]:
            if tensors[second].shape == tensors[name].shape and not torch.equal(tensors[second], tensors[name]):
                tensors[name], tensors[second] = tensors[second], tensors[name]
                return
    tensors["other"] = tensors.pop(names[0])


def _floats(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return max((value for value in tensors.values() if value.is_floating_point()), key=torch.numel)


TENSORS: dict[str, Damage] = {
    "a number a little larger": _tensors(lambda t: _floats(t).view(-1)[0].add_(1e-3)),
    "a number that is NaN": _tensors(lambda t: _floats(t).view(-1)[0].fill_(math.nan)),
    "two tensors exchanged": _tensors(_exchanged),
    "a tensor more": _tensors(lambda t: t.update(extra=torch.zeros(2))),
    "a tensor missing": _tensors(lambda t: t.pop(next(iter(t)))),
    "in half the precision": _tensors(lambda t: t.update({n: v.half() for n, v in t.items() if v.is_floating_point()})),
}


def _array(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    def damage(file: Path, other: Path) -> None:
        array = np.load(file)
        changed = change(array.copy())
        assert changed.dtype != array.dtype or changed.shape != array.shape or changed.tobytes() != array.tobytes()
        np.save(file, changed, allow_pickle=True)

    return damage


def _set(array: np.ndarray, value: float) -> np.ndarray:
    array.reshape(-1)[1] = value
    return array


ARRAY: dict[str, Damage] = {
    "a number a little larger": _array(lambda a: _set(a, float(a.reshape(-1)[1]) + 1e-3)),
    "a number that is NaN": _array(lambda a: _set(a, math.nan)),
    "rows reversed": _array(lambda a: a[::-1]),
    "a row missing": _array(lambda a: a[:-1]),
    "in double precision": _array(lambda a: a.astype(np.float64)),
    "of Python's objects": _array(lambda a: a.astype(object)),
}
EPISODES: dict[str, Damage] = {
    name: _array(change)
    for name, change in {
        "another task": lambda a: _entry(a, "task", lambda v: 1 - v),
        "another length": lambda a: _entry(a, "length", lambda v: v - 1),
        "another return": lambda a: _entry(a, "return", lambda v: v + 1),
        "a success": lambda a: _entry(a, "success", lambda v: 1.0),
        "exchanged": lambda a: a[::-1],
    }.items()
}


def _entry(array: np.ndarray, name: str, change: Callable[[Any], Any]) -> np.ndarray:
    array[name][0] = change(array[name][0])
    return array


def _frame(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Damage:
    return lambda file, other: change(pd.read_parquet(file)).to_parquet(file, index=False)


def _cell(frame: pd.DataFrame, value: Callable[[float], float]) -> pd.DataFrame:
    frame.loc[0, "value"] = value(frame.loc[0, "value"])
    return frame


PARQUET: dict[str, Damage] = {
    "a value a little larger": _frame(lambda f: _cell(f, lambda v: v + 1e-6)),
    "a value that is NaN": _frame(lambda f: _cell(f, lambda v: math.nan)),
    "a row missing": _frame(lambda f: f.iloc[:-1]),
    "rows in another order": _frame(lambda f: f.iloc[::-1]),
    "a column missing": _frame(lambda f: f.drop(columns="low")),
    "columns exchanged": _frame(lambda f: f.rename(columns={"low": "high", "high": "low"})),
    "a value column of texts": _frame(lambda f: f.assign(value=f["value"].astype(str))),
    "CSV": lambda file, other: pd.read_parquet(file).to_csv(file, index=False),
}


def _swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _link(one: Path, other: Path) -> None:
    shutil.rmtree(one)
    one.symlink_to(other)


RUN_FOLDER: dict[str, Damage] = {
    "under another id": lambda one, other: one.rename(one.with_name("0" * 12)),
    "copied to another id": lambda one, other: shutil.copytree(one, one.with_name("0" * 12)),
    "in another study": lambda one, other: _moved(one, one.parents[1] / "others" / one.name),
    "copied to another study": lambda one, other: shutil.copytree(one, one.parents[1] / "others" / one.name),
    "exchanged with another": _swap,
    "replaced by a copy of another": lambda one, other: (shutil.rmtree(one), shutil.copytree(other, one)),
    "replaced by a link to another": _link,
    "without its record": lambda one, other: (one / "run.json").unlink(),
    "its record called otherwise": lambda one, other: (one / "run.json").rename(one / "run.json.bak"),
    "emptied": lambda one, other: (shutil.rmtree(one), one.mkdir()),
    "deleted": lambda one, other: shutil.rmtree(one),
}


def _moved(one: Path, place: Path) -> None:
    place.parent.mkdir()
    one.rename(place)


def _tensor_file(folder: Path) -> Path:
    (file,) = folder.glob("*.safetensors")
    return file


CHECKPOINT: dict[str, Damage] = {
    "deleted": lambda one, other: shutil.rmtree(one),
    "emptied": lambda one, other: (shutil.rmtree(one), one.mkdir()),
    "that of another": lambda one, other: (shutil.rmtree(one), shutil.copytree(other, one)),
    "its tensors under another name": lambda one, other: _tensor_file(one).rename(one / "tensors.safetensors"),
    "a pickle": lambda one, other: (shutil.rmtree(one), one.mkdir(), torch.save({}, one / "state.pt")),
}
SHARDS: dict[str, Damage] = {
    "deleted": lambda one, other: shutil.rmtree(one),
    "emptied": lambda one, other: (shutil.rmtree(one), one.mkdir()),
    "exchanged with the next": lambda one, other: _swap(one, one.with_name("shard-000001")),
    "twice": lambda one, other: shutil.copytree(one, one.with_name("shard-000009")),
    "that of another": lambda one, other: (shutil.rmtree(one), shutil.copytree(other, one)),
    "the last one deleted": lambda one, other: shutil.rmtree(sorted(one.parent.glob("shard-*"))[-1]),
    "called partial": lambda one, other: one.rename(one.with_name("shard-000000.partial")),
}


def kinds(pairs: dict[str, Pair]) -> dict[str, Callable[[Path], None]]:
    """All kinds of damage by name, each done to the root that it is given.

    Args:
        pairs: that are there.
    """
    found: dict[str, Callable[[Path], None]] = {}

    def add(whose: str, name: str, damages: dict[str, Damage], where: Callable[[Path], Path] | None = None) -> None:
        if whose not in pairs:
            return
        pair = pairs[whose]
        place = where or (lambda folder: folder / name)
        for how, damage in damages.items():
            found[f"{whose}: {name or 'folder'}: {how}"] = lambda root, damage=damage: damage(
                place(root / pair.one), place(root / pair.other)
            )

    own = {how: damage for how, damage in ANY_FILE.items() if how != "that of another"}  # which is the same
    add("finished", "run.json", ANY_FILE | ANY_JSON | as_fields(RECORD))
    add("finished", "spec.json", ANY_FILE | ANY_JSON | as_fields(SPEC))
    add("finished", "metrics.jsonl", ANY_FILE | LOG)
    add("finished", "evaluations.jsonl", ANY_FILE | LOG | EVALUATIONS)
    add("finished", "checkpoint/state.json", {"a bit turned": ANY_FILE["a bit turned"]})
    add("finished", "", RUN_FOLDER)
    add("stopped", "run.json", {"a bit turned": ANY_FILE["a bit turned"]})
    add("stopped", "metrics.jsonl", LOG)
    add("stopped", "evaluations.jsonl", {"a return a little larger": EVALUATIONS["a return a little larger"]})
    add("stopped", "checkpoint/state.json", ANY_FILE | ANY_JSON | as_fields(STATE))
    add("stopped", "checkpoint tensors", ANY_FILE | TENSORS, lambda folder: _tensor_file(folder / "checkpoint"))
    add("stopped", "checkpoint", CHECKPOINT)
    add("gradients", "gradients.parquet", ANY_FILE | PARQUET)
    add("collected", "data/dataset.json", own)
    add("collected", "data/shard-000000", SHARDS)
    add("collected", "data/shard-000000/obs.npy", {"a bit turned": ANY_FILE["a bit turned"]})
    add("trained", "model/model.json", ANY_FILE)
    add("trained", "model/model.safetensors", ANY_FILE | TENSORS)
    add("data", "dataset.json", own | ANY_JSON | as_fields(HEADER))
    add("data", "shard-000000/shard.json", ANY_FILE | ANY_JSON | as_fields(SHARD))
    for name in ("obs", "action", "reward"):
        add("data", f"shard-000000/{name}.npy", ANY_FILE | ARRAY if name == "obs" else ARRAY)
    add("data", "shard-000000/episodes.npy", EPISODES)
    add("data", "shard-000000", SHARDS)
    add("model", "model.json", ANY_FILE | ANY_JSON | as_fields(MODEL))
    add("model", "model.safetensors", ANY_FILE | TENSORS)
    return found
