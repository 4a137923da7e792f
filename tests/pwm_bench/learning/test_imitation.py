from __future__ import annotations

import pytest
import torch

from pwm_bench.learning.imitation import imitation_loss


def test_the_loss_is_the_mean_square_over_the_tasks_own_components() -> None:
    action = torch.tensor([[[0.5, 0.0], [0.0, 1.0]], [[0.2, 0.9], [0.4, -0.9]]])
    wanted = torch.tensor([[[0.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[[1.0, 1.0]], [[1.0, 0.0]]])
    loss = imitation_loss(action, wanted, mask)
    assert loss.tolist() == pytest.approx([0.25 / 4, (0.04 + 0.16) / 2])  # 3.0 counts as 1.0, padding not at all
