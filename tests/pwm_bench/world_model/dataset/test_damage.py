"""Datasets that are missing, truncated or altered: one line that names the file and the remedy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.seal import seal, without_seal
from pwm_bench.world_model.dataset import Dataset
from tests.pwm_bench.world_model.dataset.factories import PLAN, write


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "data", PLAN)


def _fails(path, message, **options):
    with pytest.raises(UsageError, match=message) as raised:
        Dataset(path, **options)
    assert "\n" not in str(raised.value)


def test_missing_folder_and_missing_header(tmp_path):
    _fails(tmp_path / "none", "none: no such folder; collect data first")
    _fails(tmp_path, r"not a dataset \(dataset.json is missing\)")


def test_folder_without_shards(path):
    for folder in path.glob("shard-*"):
        folder.rename(folder.with_name(folder.name + ".partial"))
    _fails(path, "holds no complete episode")


@pytest.mark.parametrize("name", ["obs", "action", "reward", "episodes"])
@pytest.mark.parametrize("size", [0, 40, -8])
def test_truncated_array(path, name, size):
    file = path / "shard-000001" / f"{name}.npy"
    content = file.read_bytes()
    file.write_bytes(content[:size])
    _fails(path, rf"shard-000001/{name}.npy: missing, truncated .*; remove the shard's folder")


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"rows": 3}'])
def test_damaged_shard_json(path, content):
    file = path / "shard-000000" / "shard.json"
    file.unlink() if content is None else file.write_bytes(content)
    _fails(path, "shard-000000/shard.json: missing or damaged; remove the shard's folder")


def test_array_of_another_shard(path):
    (path / "shard-000000" / "obs.npy").write_bytes((path / "shard-000001" / "obs.npy").read_bytes())
    np.save(path / "shard-000000" / "obs.npy", np.zeros((3, 5), np.float32))
    _fails(path, r"shard-000000/obs.npy: holds float32 \(3, 5\), but shard.json says float32")


def test_objects_are_not_unpickled(path):
    np.save(path / "shard-000000" / "obs.npy", np.array([print], dtype=object), allow_pickle=True)
    _fails(path, "shard-000000/obs.npy: missing, truncated or not a NumPy array")


def test_episodes_that_do_not_fit(path):
    file = path / "shard-000000" / "episodes.npy"
    episodes = np.load(file)
    for field, value in (("task", 7), ("length", 3), ("first", 1)):
        spoilt = episodes.copy()
        spoilt[field][0] = value
        np.save(file, spoilt)
        _fails(path, "episodes.npy: damaged")


def test_altered_numbers_are_found_when_verifying(path):
    file = path / "shard-000000" / "reward.npy"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))
    Dataset(path)
    _fails(path, r"shard-000000/reward.npy: altered \(its checksum does not match\)", verify=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(version=9), "dataset version 9"),
        (lambda h: h.pop("tasks"), "dataset.json: damaged"),
        (lambda h: h.update(obs_dim=4), "task 'short' has 5 features"),
        (lambda h: h["tasks"][0].update(colour=3), "dataset.json: damaged"),
    ],
)
def test_damaged_header(path, change, message):
    header = without_seal(json.loads((path / "dataset.json").read_text()))
    change(header)
    (path / "dataset.json").write_text(seal(header))
    _fails(path, message)


@pytest.mark.parametrize("name", ["dataset.json", "shard-000000/shard.json"])
def test_altered_descriptions_are_found(path, name):
    text = (path / name).read_text()
    digit = next(
        place for place, sign in enumerate(text) if sign in "1234" and '"version"' not in text[place - 12 : place]
    )
    (path / name).write_text(text[:digit] + str(int(text[digit]) + 1) + text[digit + 1 :])
    _fails(path, f"{name}: .*damaged")
