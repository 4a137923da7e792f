"""Data sets of Minari's, written and read by its own library."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("minari")

import gymnasium
import minari
from minari.data_collector import EpisodeBuffer

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.inputs import content_digest
from pwm_bench.world_model.dataset import Dataset
from pwm_bench.world_model.dataset.minari_format import from_minari, is_minari, to_minari
from tests.pwm_bench.world_model.multitask.datasets import write_linear_data

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")  # of authors and the like that are not named
LENGTHS = (7, 5, 7, 3)


def _episodes(low: float, high: float, *, infos: bool = True):
    rng = np.random.default_rng(0)
    for length in LENGTHS:
        yield EpisodeBuffer(
            observations=rng.normal(size=(length + 1, 4)).astype(np.float32),
            actions=rng.uniform(low, high, (length, 2)).astype(np.float32),
            rewards=rng.normal(size=length),
            terminations=np.arange(length) == length - 1,
            truncations=np.zeros(length, bool),
            infos={"success": np.append(np.zeros(length), float(length == 5))} if infos else {},
        )


def _make(root, monkeypatch, *, low: float = -0.4, high: float = 0.4, data_format: str = "hdf5", obs=None):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    box = gymnasium.spaces.Box
    episodes = list(_episodes(low, high, infos=data_format == "hdf5"))
    minari.create_dataset_from_buffers(
        "own/pen-v0", episodes, action_space=box(low, high, (2,), np.float32),
        observation_space=obs or box(-np.inf, np.inf, (4,), np.float32), data_format=data_format,
    )  # fmt: skip
    return root / "own" / "pen-v0"


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_a_data_set_of_minaris_becomes_shards(tmp_path, monkeypatch, data_format) -> None:
    source = _make(tmp_path / "minari", monkeypatch, data_format=data_format)
    assert is_minari(source)
    assert from_minari(source, tmp_path / "data", task="pen") == 4
    data = Dataset(tmp_path / "data", verify=True)
    assert [(t.name, t.obs_dim, t.action_dim, t.episode_length) for t in data.tasks] == [("pen", 4, 2, 7)]
    written = sorted(_episodes(-0.4, 0.4), key=lambda one: len(one.rewards))  # as the data set sorts them
    for nth, one in enumerate(written):
        episode = data.episode(0, nth)
        np.testing.assert_array_equal(episode.obs, one.observations)
        np.testing.assert_allclose(episode.action, one.actions / 0.4, rtol=1e-6)
        np.testing.assert_allclose(episode.reward, one.rewards, rtol=1e-6)
        if data_format == "hdf5":  # Minari 0.5.4 can't read the infos that it has written into Arrow
            assert episode.success == float(len(one.rewards) == 5)


def test_a_conversion_that_was_stopped_ends_with_the_same_bytes(tmp_path, monkeypatch) -> None:
    source = _make(tmp_path / "minari", monkeypatch)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        from_minari(source, tmp_path / "a", rows_per_shard=10, report=stop)
    for name in ("a", "b"):
        assert from_minari(source, tmp_path / name, rows_per_shard=10) == 4
    assert content_digest(tmp_path / "a") == content_digest(tmp_path / "b")
    with pytest.raises(UsageError, match=r"not of 'own/pen-v0'|holds a dataset of"):
        from_minari(source, _other(tmp_path / "other"))


def _other(path):
    write_linear_data(path, episodes=1)
    return path


def test_shards_become_data_sets_that_minari_loads_and_come_back(tmp_path, monkeypatch, capsys) -> None:
    write_linear_data(tmp_path / "data", episodes=3)
    data = Dataset(tmp_path / "data")
    assert to_minari(data, tmp_path / "minari") == ["left-v0", "right-v0"]
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    loaded = minari.load_dataset("right-v0")
    assert (loaded.total_episodes, loaded.total_steps) == (3, 60)
    for nth, episode in enumerate(loaded.iterate_episodes()):
        ours = data.episode(1, nth)
        np.testing.assert_array_equal(episode.observations, ours.obs)
        np.testing.assert_array_equal(episode.actions, ours.action)
        np.testing.assert_array_equal(episode.rewards, ours.reward)
        assert episode.truncations[-1]
        assert not episode.terminations.any()
    with pytest.raises(UsageError, match="left-v0: is there already"):
        to_minari(data, tmp_path / "minari")
    again = tmp_path / "again"
    assert main(["convert", str(tmp_path / "minari" / "right-v0"), str(again), "--task", "right"]) == 0
    assert "3 episodes" in capsys.readouterr().out
    np.testing.assert_allclose(Dataset(again).episode(0, 1).obs, data.episode(1, 1).obs)
    assert main(["convert", str(again), str(tmp_path / "out"), "--to", "minari"]) == 0
    assert "right-v0" in capsys.readouterr().out


def test_an_action_without_a_range_is_named(tmp_path, monkeypatch) -> None:
    source = _make(tmp_path / "minari", monkeypatch, low=0.25, high=0.25)
    with pytest.raises(UsageError, match=r"actions from 0.25 to 0.25: .*the lower below the upper"):
        from_minari(source, tmp_path / "data")


def test_what_cannot_be_read_is_named_and_nothing_is_made(tmp_path, monkeypatch) -> None:
    source = _make(tmp_path / "minari", monkeypatch)
    metadata = source / "data" / "metadata.json"
    values = json.loads(metadata.read_text())

    def error(match: str, **changes) -> None:
        metadata.write_text(json.dumps({k: v for k, v in (values | changes).items() if v is not None}))
        with pytest.raises(UsageError, match=match):
            from_minari(source, tmp_path / "data")
        assert not (tmp_path / "data").exists()

    spec = json.dumps({"id": "x-v0", "entry_point": "os:getcwd"})
    error("has no spaces; the library would make its environment", observation_space=None, env_spec=spec)
    error("damaged, or of another version of Minari", data_format="tape")
    error("damaged, or of another version of Minari", action_space="{")
    dictionary = json.dumps({"type": "Dict", "subspaces": {"a": json.loads(values["action_space"])}})
    error("observation space is Dict.*: must be a Box of flat vectors", observation_space=dictionary)
    metadata.write_text("[")
    with pytest.raises(UsageError, match="damaged"):
        from_minari(source, tmp_path / "data")
    with pytest.raises(UsageError, match="holds no data set of Minari's"):
        from_minari(tmp_path, tmp_path / "data")
