"""Members that differ in settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError
from pwm_bench.registry import learner_package
from pwm_bench.testing.learners import make
from tests.pwm_bench.pwm.factories import tiny_config

SHORT: dict[str, Any] = {"num_envs": 4, "horizon": 5}
ACTOR = SHORT | {"hidden_actor": (8,)}
CRITIC = ACTOR | {"hidden_critic": (8,), "critic_iterations": 2, "critic_minibatches": 2}
SMALL_FLASHSAC = SHORT | {
    "batch_size": 6,
    "seed_steps": 2,
    "width_actor": 8,
    "width_critic": 8,
    "blocks": 1,
    "atoms": 11,
}
SETTINGS = {
    "shac": CRITIC,
    "ivwh": CRITIC,
    "ppo": ACTOR | {"epochs": 2, "minibatches": 2, "hidden_critic": (8,)},
    "sac": ACTOR | {"hidden_critic": (8,), "batch_size": 6, "seed_steps": 2},
    "flashsac": SMALL_FLASHSAC,
    "pwm": {},
}
VALUES = {
    "actor_learning_rate": [3e-4, 1e-2],
    "critic_learning_rate": [1e-2, 2e-3],
    "gamma": [0.9, 0.99],
    "lam": [0.5, 0.9],
    "temperature_learning_rate": [1e-2, 1e-3],
    "tau": [0.5, 0.01],
    "world_model.learning_rate": [1e-3, 1e-4],
}


def _learner(algorithm: str, seeds: tuple[int, ...], changes: dict[str, float] | None = None) -> Any:
    package: Any = learner_package(algorithm)
    config = tiny_config() if algorithm == "pwm" else package.Config(**SETTINGS[algorithm])
    return make(package.Learner, configs.override(config, changes or {}), seeds, budget=400)


@pytest.mark.parametrize("algorithm", SETTINGS)
def test_a_member_learns_as_it_does_alone_with_its_settings(algorithm: str) -> None:
    together = _learner(algorithm, (3, 8))
    values = {name: VALUES[name] for name in together.tunable}
    together.vary(values)
    metrics = [together.update() for _ in range(4)]
    for member, seed in enumerate((3, 8)):
        alone = _learner(algorithm, (seed,), {name: several[member] for name, several in values.items()})
        for step in metrics:
            for name, value in alone.update().items():
                ours = step[name][member]
                torch.testing.assert_close(ours, value[0], rtol=2e-4, atol=1e-6, equal_nan=True, msg=name)
        for (name, p), q in zip(together.policy.named_parameters(), alone.policy.parameters(), strict=True):
            torch.testing.assert_close(p[member], q[0], rtol=1e-3, atol=1e-5, msg=name)
    if "learning_rate" in metrics[0]:
        assert not torch.allclose(metrics[0]["learning_rate"][0], metrics[0]["learning_rate"][1])


def test_what_members_cannot_differ_in_is_refused() -> None:
    learner = _learner("shac", (0, 1))
    for values, message in (
        ({"gama": [0.9, 0.9]}, "did you mean 'gamma'"),
        ({"horizon": [4.0, 5.0]}, "unknown setting that members may differ in"),
        ({"gamma": [0.9]}, "1 values for 2 members"),
        ({"gamma": [0.9, 1.5]}, "gamma=1.5"),
    ):
        with pytest.raises(UsageError, match=message):
            learner.vary(values)
    assert learner.setting("gamma") == 0.99
