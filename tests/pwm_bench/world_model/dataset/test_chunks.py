"""Reading TD-MPC2's chunks without running what is in them."""

from __future__ import annotations

import importlib.util
import os
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.world_model.dataset.chunks import chunk_files, open_chunk
from tests.pwm_bench.world_model.dataset.chunk_files import columns, save_old_tensordict, save_plain, save_tensordict

_HAS_TENSORDICT = importlib.util.find_spec("tensordict") is not None


class _Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


def _save(kind, path, content):
    if kind == "tensordict":
        if not _HAS_TENSORDICT:
            pytest.skip("tensordict is not installed")
        save_tensordict(path, content)
    elif kind == "old":
        save_old_tensordict(path, content)
    else:
        save_plain(path, OrderedDict(content) if kind == "ordered" else content)


@pytest.mark.parametrize("kind", ["tensordict", "old", "plain", "ordered"])
def test_every_layout_gives_the_tensors(tmp_path, kind):
    content = columns(4)
    _save(kind, tmp_path / "chunk_0.pt", content)
    chunk = open_chunk(tmp_path / "chunk_0.pt")
    assert (chunk.episodes, chunk.entries) == (4, 11)
    for name, tensor in content.items():
        assert torch.equal(getattr(chunk, name).nan_to_num(7.0), tensor.nan_to_num(7.0)), name


def test_reading_leaves_torchs_allow_list_as_it_was(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    save_old_tensordict(tmp_path / "chunk_0.pt", columns(2))
    open_chunk(tmp_path / "chunk_0.pt")
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("where", ["alone", "beside", "state"])
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, where):
    trap = tmp_path / "trap"
    content = columns(2)
    if where == "alone":
        torch.save(_Evil(trap), tmp_path / "chunk_0.pt")
    elif where == "beside":
        torch.save({**content, "extra": _Evil(trap)}, tmp_path / "chunk_0.pt")
    else:
        save_old_tensordict(tmp_path / "chunk_0.pt", {**content, "extra": _Evil(trap)})
    with pytest.raises(UsageError, match=r"chunk_0.pt: refused: it asks for posix.mkdir, so opening it could run code"):
        open_chunk(tmp_path / "chunk_0.pt")
    assert not trap.exists()


def test_a_call_hidden_behind_tensordicts_name_does_nothing(tmp_path):
    """Names in the tensordict package are never looked up, whatever follows them."""
    trap = tmp_path / "trap"
    save_plain(tmp_path / "plain.pt", columns(2))
    with zipfile.ZipFile(tmp_path / "plain.pt") as source:
        names = {name: source.read(name) for name in source.namelist()}
    (pickled,) = (name for name in names if name.endswith("data.pkl"))
    names[pickled] = b"\x80\x02ctensordict.os\nmkdir\nX%s%sq\x00\x85R." % (
        len(str(trap)).to_bytes(4, "little"),
        str(trap).encode(),
    )
    with zipfile.ZipFile(tmp_path / "chunk_0.pt", "w") as target:
        for name, value in names.items():
            target.writestr(name, value)
    with pytest.raises(UsageError, match=r"chunk_0.pt"):
        open_chunk(tmp_path / "chunk_0.pt")
    assert not trap.exists()


def test_a_bare_pickle_is_refused(tmp_path):
    trap = tmp_path / "trap"
    (tmp_path / "chunk_0.pt").write_bytes(pickle.dumps(_Evil(trap)))
    with pytest.raises(UsageError, match=r"chunk_0.pt: truncated, or not a chunk of TD-MPC2's"):
        open_chunk(tmp_path / "chunk_0.pt")
    assert not trap.exists()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 0.99])
def test_a_truncated_chunk(tmp_path, share):
    file = tmp_path / "chunk_0.pt"
    save_plain(file, columns(4))
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UsageError, match=r"chunk_0.pt: truncated, or not a chunk of TD-MPC2's; download"):
        open_chunk(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("reward"), "has no tensors obs, action, reward, task"),
        (lambda c: c.update(reward=c["reward"][:, :-1]), r"reward \(2, 10\)"),
        (lambda c: c.update(task=c["task"].float()), "integers"),
        (lambda c: c.update(obs=c["obs"][0]), r"obs \(11, 6\)"),
    ],
)
def test_a_chunk_with_other_contents(tmp_path, change, message):
    content = columns(2)
    change(content)
    save_plain(tmp_path / "chunk_0.pt", content)
    with pytest.raises(UsageError, match=message):
        open_chunk(tmp_path / "chunk_0.pt")


def test_chunks_are_found_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 0):
        (tmp_path / f"chunk_{number}.pt").touch()
    assert [file.name for file in chunk_files(tmp_path)] == ["chunk_0.pt", "chunk_2.pt", "chunk_10.pt"]
    with pytest.raises(UsageError, match="no such folder"):
        chunk_files(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no .pt file"):
        chunk_files(tmp_path / "empty")
    with pytest.raises(UsageError, match="no such file"):
        open_chunk(tmp_path / "chunk_3.pt")
