from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from pwm_bench.store.seal import AlteredError
from pwm_bench.store.tensor_file import read_about, read_tensors, write_tensors
from tests.pwm_bench.conftest import ROOT

KEY, ABOUT = "pwm_bench.test", {"version": 3, "names": ["a", "b"]}
TENSORS = {
    "whole": torch.arange(5),
    "halves": torch.full((2, 3), 0.5, dtype=torch.bfloat16),
    "view": torch.arange(6.0).view(2, 3).t(),
    "none": torch.zeros(0, 2),
    "flag": torch.tensor(True),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, key=KEY, about=ABOUT)
    return path


def test_what_was_written_is_read(file):
    assert read_about(file, key=KEY) == ABOUT
    assert read_about(file, key="another") is None
    found = read_tensors(file, key=KEY)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in TENSORS.items())


def test_a_bit_turned_anywhere_is_noticed(file):
    whole, seen = file.read_bytes(), []
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            seen.append(read_about(file, key=KEY))
            read_tensors(file, key=KEY)
        except ValueError:
            continue
        assert seen[-1] is None  # another key, under which nobody looks
    assert all(about in (None, ABOUT) for about in seen)
    assert ABOUT in seen


def test_tensors_that_were_exchanged_or_are_of_another_file_are_noticed(file):
    said = {KEY: _metadata(file)}
    exchanged = {name: value.contiguous() for name, value in TENSORS.items()}
    save_file(exchanged, file, metadata=said)
    assert read_tensors(file, key=KEY).keys() == TENSORS.keys()
    save_file(exchanged | {"whole": torch.arange(5) + 1}, file, metadata=said)
    with pytest.raises(AlteredError, match="checksum of its tensors"):
        read_tensors(file, key=KEY)
    assert read_about(file, key=KEY) == ABOUT


def _metadata(file) -> str:
    length = int.from_bytes(file.read_bytes()[:8], "little")
    return json.loads(file.read_bytes()[8 : 8 + length])["__metadata__"][KEY]


def test_files_from_before_there_were_checksums_are_read():
    path = next((ROOT / "results" / "reference" / "runs").glob("*/*/policy.safetensors"))
    assert read_about(path, key="pwm_bench.policy")["version"] == 1
    assert read_tensors(path, key="pwm_bench.policy")
