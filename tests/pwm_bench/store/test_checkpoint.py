from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import save as save_safetensors

from pwm_bench.envs.errors import UsageError
from pwm_bench.store import checkpoint, checkpoint_files
from pwm_bench.store.seal import seal

SPEC = "0123456789ab"


def state() -> dict:
    base = torch.arange(6.0)
    return {
        "weights": {"w": torch.randn(2, 3), "b": torch.zeros(0)},
        "flags": torch.tensor([True, False]),
        "count": torch.tensor(7, dtype=torch.int64),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "views": [base[:2], base[2:], base],
        "transposed": torch.arange(6).view(2, 3).T,
        "optimiser": {0: {"step": 3}, 1: None},
        "tuple": (1, "a", torch.ones(1)),
        "float": 0.1,
    }


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b and type(a) is type(b)


def test_everything_comes_back_as_it_was(tmp_path):
    saved = state()
    checkpoint.save(tmp_path / "c", saved, spec_id=SPEC)
    assert checkpoint.exists(tmp_path / "c")
    assert same(saved, checkpoint.load(tmp_path / "c", spec_id=SPEC).state)


def test_every_layout_comes_back(tmp_path):
    """A safetensors file begins with the length of its header, a multiple of eight: 32 possible first bytes, one of
    which is also that of a pickle."""
    seen = set()
    for width in range(0, 8 * 32, 4):
        saved = {"x" * (1 + width): torch.tensor([width])}
        checkpoint.save(tmp_path, saved, spec_id=SPEC)
        seen.add(next(tmp_path.glob("*.safetensors")).read_bytes()[0])
        assert same(saved, checkpoint.load(tmp_path, spec_id=SPEC).state)
    assert seen == set(range(0, 256, 8))


def test_a_file_that_nobody_reads_is_no_reason_to_refuse(tmp_path):
    checkpoint.save(tmp_path, {"x": torch.tensor([1])}, spec_id=SPEC)
    (tmp_path / "notes.bin").write_bytes(b"\x80\x04")
    assert checkpoint.load(tmp_path, spec_id=SPEC).state["x"].item() == 1


def test_saving_again_leaves_one_checkpoint(tmp_path):
    for value in range(3):
        checkpoint.save(tmp_path, {"x": torch.tensor([value])}, spec_id=SPEC)
    assert checkpoint.load(tmp_path, spec_id=SPEC).state["x"].item() == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("survivor", [0, 1])
def test_a_kill_while_saving_leaves_the_previous_one_whole(tmp_path, monkeypatch, survivor):
    """``survivor`` writes of the second save reach the disk: none, or the tensors without the state."""
    checkpoint.save(tmp_path, {"x": torch.tensor([1])}, spec_id=SPEC)
    real, done = checkpoint.write_atomic, []

    def killed(path, content):
        if len(done) == survivor:
            raise KeyboardInterrupt
        done.append(path)
        real(path, content)

    monkeypatch.setattr(checkpoint, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, {"x": torch.tensor([2])}, spec_id=SPEC)
    assert checkpoint.load(tmp_path, spec_id=SPEC).state["x"].item() == 1
    monkeypatch.undo()
    checkpoint.save(tmp_path, {"x": torch.tensor([3])}, spec_id=SPEC)
    assert len(list(tmp_path.iterdir())) == 2


def damage(path, how) -> None:
    tensors = next(path.glob("*.safetensors"))
    header = path / "state.json"
    if how == "truncated tensors":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif how == "altered tensors":
        data = bytearray(tensors.read_bytes())
        data[-1] ^= 1
        tensors.write_bytes(bytes(data))
    elif how == "no tensors":
        tensors.unlink()
    elif how == "truncated state":
        header.write_bytes(header.read_bytes()[:-5])
    elif how == "other json":
        header.write_text('{"hello": 1}')
    elif how == "pickled tensors":
        torch.save({"x": torch.ones(1)}, tensors)
    elif how == "pickle in disguise":
        data = pickle.dumps(Bomb())
        tensors.write_bytes(data)
        values = json.loads(header.read_text())
        values["tensors"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        del values["sha256"]
        header.write_text(seal(values))
    elif how == "pickle instead":
        header.unlink()
        torch.save({"x": torch.ones(1)}, path / "model.pt")
    elif how == "other layout":
        tensors.write_bytes(data := save_safetensors({"y": torch.ones(1)}))
        values = json.loads(header.read_text())
        values["tensors"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        del values["sha256"]
        header.write_text(seal(values))
    elif how == "newer version":
        header.write_text(json.dumps(json.loads(header.read_text()) | {"version": 99}))


class Bomb:
    """Fails the test if anything unpickles it."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated tensors", "truncated"),
        ("altered tensors", "checksum"),
        ("no tensors", "incomplete"),
        ("truncated state", "not a checkpoint, or truncated"),
        ("other json", "not a checkpoint"),
        ("pickled tensors", "Python pickle"),
        ("pickle in disguise", "Python pickle"),
        ("pickle instead", "model.pt: a Python pickle"),
        ("other layout", "not a checkpoint's tensors"),
        ("newer version", "version 99"),
    ],
)
def test_damaged_and_dangerous_checkpoints_are_refused(tmp_path, how, message):
    checkpoint.save(tmp_path, state(), spec_id=SPEC)
    damage(tmp_path, how)
    with pytest.raises(UsageError, match=message) as error:
        checkpoint.load(tmp_path, spec_id=SPEC)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [('["step", 3]', '["step", 4]'), ('["rate", 0.5]', '["rate", 0.25]'), ("a name", "a game"), ("[1, 2]", "[2, 1]"),
     ('"state"', '"stale"'), ('["step", 3], ', "")],
)  # fmt: skip
def test_an_edit_of_any_plain_value_is_noticed(tmp_path, old, new):
    state = {"x": torch.ones(1), "step": 3, "rate": 0.5, "text": "a name", "list": [1, 2]}
    checkpoint.save(tmp_path, state, spec_id=SPEC)
    header = tmp_path / "state.json"
    assert header.read_text().count(old) == 1
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(UsageError, match=r"state.json: (altered|not a checkpoint)"):
        checkpoint.load(tmp_path, spec_id=SPEC)


def test_another_runs_checkpoint_is_refused(tmp_path):
    checkpoint.save(tmp_path, {"x": torch.ones(1)}, spec_id="ffffffffffff")
    with pytest.raises(UsageError, match="checkpoint of run ffffffffffff, not of 0123456789ab"):
        checkpoint.load(tmp_path, spec_id=SPEC)


def test_a_tensor_file_name_cannot_leave_the_directory(tmp_path):
    inside = tmp_path / "c"
    checkpoint.save(inside, {"x": torch.ones(1)}, spec_id=SPEC)
    tensors = next(inside.glob("*.safetensors"))
    tensors.rename(tmp_path / tensors.name)
    header = json.loads((inside / "state.json").read_text())
    header["tensors"]["file"] = f"../{tensors.name}"
    del header["sha256"]
    (inside / "state.json").write_text(seal(header))
    with pytest.raises(UsageError, match="incomplete"):
        checkpoint.load(inside, spec_id=SPEC)


@pytest.mark.parametrize("value", [object(), {1.5: 1}, {"a": {1, 2}}])
def test_what_cannot_be_saved_is_a_programming_error(tmp_path, value):
    with pytest.raises(TypeError, match="checkpoint"):
        checkpoint.save(tmp_path, {"x": value}, spec_id=SPEC)


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, {"x": torch.zeros(3)}, spec_id=SPEC)
    real, replaced = checkpoint_files.read_plain, []

    def meanwhile(path):
        if path.suffix == ".safetensors" and not replaced:  # named by a state that is no longer there
            replaced.append(path)
            checkpoint.save(tmp_path, {"x": torch.ones(3)}, spec_id=SPEC)
        return real(path)

    monkeypatch.setattr(checkpoint_files, "read_plain", meanwhile)
    assert checkpoint.load(tmp_path, spec_id=SPEC).state["x"].tolist() == [1.0] * 3
    assert len(replaced) == 1
