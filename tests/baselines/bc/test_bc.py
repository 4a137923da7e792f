"""Behaviour cloning: policies that become the behaviour of the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.baselines.bc import Cloner, Config
from pwm_bench.envs.errors import UsageError
from pwm_bench.learning.expert import Expert
from pwm_bench.testing.company import assert_company_changes_nothing
from pwm_bench.testing.host_sync import exempt, no_host_sync
from pwm_bench.world_model.dataset import Dataset, DatasetWriter, TaskInfo

TASKS = (
    TaskInfo(name="wide", obs_dim=3, action_dim=2, episode_length=20),
    TaskInfo(name="narrow", obs_dim=2, action_dim=1, episode_length=20),
)
GAINS = (np.array([[0.5, -0.3, 0.0], [0.0, 0.4, 0.2]]), np.array([[-0.6, 0.3]]))
SMALL = {
    "iterations": 300,
    "batch_size": 64,
    "hidden_actor": (32,),
    "actor_learning_rate": 1e-2,
    "normalising_samples": 512,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Two behaviours in turn: a = tanh(G o) + 0.2 with return 1, and tanh(G o) - 0.2 with return 0."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    with DatasetWriter(folder, TASKS) as writer:
        for number in range(60):
            for index, (task, gain) in enumerate(zip(TASKS, GAINS, strict=True)):
                obs = 3.0 + 2.0 * rng.normal(size=(task.episode_length + 1, task.obs_dim))
                action = np.tanh((obs[:-1] - 3.0) @ gain.T) + (0.2 if number % 2 else -0.2)
                reward = np.full(task.episode_length, (number % 2) / task.episode_length)
                writer.add(index, obs, action, reward)
    return folder


def _cloner(path, *names, **changes) -> Cloner:
    config = Config(**(SMALL | changes))
    return Cloner(Dataset(path, best=config.best), [Expert(name, 0) for name in names], config)


def _train(cloner: Cloner, steps: int) -> dict[str, torch.Tensor]:
    for _ in range(steps):
        metrics = cloner.update()
    return metrics


def _wanted(index: int, obs: torch.Tensor) -> torch.Tensor:
    width = TASKS[index].obs_dim
    return torch.tanh((obs[:, :width].double() - 3.0) @ torch.from_numpy(GAINS[index]).T).float()


def test_policies_imitate_the_average_behaviour(path) -> None:
    cloner = _cloner(path, "narrow", "wide")
    _train(cloner, 300)
    obs = 3.0 + 2.0 * torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(1))
    obs[0, :, 2] = 0.0  # padding
    action = cloner.act(obs)
    assert action.shape == (2, 200, 2)
    assert (action[0, :, :1] - _wanted(1, obs[0])).abs().mean() < 0.06
    assert (action[1] - _wanted(0, obs[1])).abs().mean() < 0.06
    assert torch.allclose(cloner.act(obs[:1, :, :2].expand(2, -1, -1))[0], action[0])  # narrower observations


def test_the_best_episodes_alone(path) -> None:
    cloner = _cloner(path, "wide", best=0.5)
    _train(cloner, 300)
    obs = 3.0 + 0.2 * torch.randn(1, 200, 3, generator=torch.Generator().manual_seed(1))
    assert (cloner.act(obs)[0] - _wanted(0, obs[0]) - 0.2).abs().mean() < 0.06


def test_a_member_does_not_depend_on_its_company(path) -> None:
    assert_company_changes_nothing(
        lambda names: _cloner(path, *names, batch_size=9), ("wide", "narrow"), updates=6, populations=(2,)
    )


def test_going_on_gives_the_same_numbers(path) -> None:
    first = _cloner(path, "wide")
    _train(first, 5)
    state = first.state_dict()
    second = _cloner(path, "wide")
    second.load_state_dict(state)
    assert second.iteration == 5
    assert torch.equal(_train(second, 20)["loss"], _train(first, 20)["loss"])


def test_an_update_does_not_wait_for_the_device(path, monkeypatch) -> None:
    cloner = _cloner(path, "wide", "narrow")
    monkeypatch.setattr(cloner._pairs._draws, "_draw", exempt(cloner._pairs._draws._draw))  # the data lies on the host
    with no_host_sync():
        cloner.update()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best": 0.0}, "must be above 0 and at most 1"),
        ({"hidden_actor": ()}, "hidden_actor="),
        ({"hidden_actor": (8,) * 101}, "hidden_actor: 101 layers"),
        ({"hidden_actor": (100_000,)}, "hidden_actor="),
        ({"adam_betas": (0.9, 1.0)}, "adam_betas="),
        ({"adam_betas": (0.9,)}, "adam_betas="),
        ({"batch_size": 0}, "batch_size"),
        ({"actor_learning_rate": -1.0}, "actor_learning_rate"),
    ],
)
def test_impossible_settings(changes, message) -> None:
    with pytest.raises(UsageError, match=message):
        Config(**changes)


def test_a_task_that_is_not_there(path) -> None:
    with pytest.raises(UsageError, match="unknown task in the data 'wade'"):
        _cloner(path, "wade")
