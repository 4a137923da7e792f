from __future__ import annotations

import pytest
import torch

from pwm_bench.envs import suites
from pwm_bench.envs.suites import Suite, SuiteTask
from pwm_bench.envs.suites.env import SuiteStep
from pwm_bench.jobs.suite_evaluation import SuiteEvaluator

TASKS = tuple(
    SuiteTask(name=name, family=family, obs_dim=2, action_dim=1, episode_length=length)
    for name, family, length in (("cup-spin", "custom", 3), ("mw-reach", "meta_world", 2))
)


class _Env:
    """Rewards are actions; the Meta-World task is solved where the action exceeds 0.15."""

    suite = Suite(tasks=TASKS, obs_dim=2, action_dim=1)
    envs_per_task, device = 2, torch.device("cpu")
    num_envs = 4
    task = torch.tensor([0, 0, 1, 1])
    closed = False

    def reset(self, first: int = 0) -> torch.Tensor:
        self._step = 0
        return torch.stack((self.task.float(), torch.tensor([0.0, 1.0, 0.0, 1.0])), dim=1)

    def step(self, action: torch.Tensor, active: torch.Tensor) -> SuiteStep:
        assert action.shape == (4, 1)
        self._step += 1
        done = self._step >= torch.tensor(self.suite.episode_lengths)[self.task]
        solved = torch.where(self.task == 1, (action[:, 0] > 0.15).float(), torch.nan)
        obs = torch.zeros(4, 2)
        return SuiteStep(obs, torch.where(active, action[:, 0], 0.0), done, obs, solved)

    def close(self) -> None:
        self.closed = True


def test_each_expert_is_scored_in_its_own_task(monkeypatch) -> None:
    env = _Env()
    monkeypatch.setattr(suites, "make", lambda *a, **k: env)
    evaluator = SuiteEvaluator(("cup-spin", "mw-reach"), seeds=2, episodes=2, workers=0)
    seen = []

    def act(obs: torch.Tensor) -> torch.Tensor:
        seen.append(obs)
        action = torch.tensor([0.0, 0.1, 0.2, 0.3]).view(4, 1, 1).expand(-1, 2, 3)
        return action  # two components more than the suite has

    result = evaluator(act)
    assert seen[0].shape == (4, 2, 2)
    assert seen[0][:, 0, 0].tolist() == [0.0, 0.0, 1.0, 1.0]  # task of each member
    assert seen[0][:, :, 1].tolist() == [[0.0, 1.0]] * 4  # episode
    assert torch.tensor(result.returns) == pytest.approx(
        torch.tensor([[0.0] * 2, [0.3] * 2, [0.4] * 2, [0.6] * 2]), abs=1e-6
    )
    assert result.lengths == [[3, 3], [3, 3], [2, 2], [2, 2]]
    assert result.extras["score"][1] == pytest.approx([0.0003, 0.0003])
    assert result.extras["success"][2:] == [[1.0, 1.0], [1.0, 1.0]]
    evaluator.close()
    assert env.closed
