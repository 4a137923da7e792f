"""The double-pendulum study: its statistics on samples with known moments, its models, and what it writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.moments import Moments
from pwm_bench.gradients.pedagogical.pendulum import PendulumSpec, PendulumWork, signal_and_noise, two_way_interval

TINY = PendulumSpec(
    horizons=(1, 3, 5),
    model_horizons=(2, 4),
    model_seeds=2,
    env_steps=640,
    updates=3,
    width=16,
    batch_size=8,
    states=2,
    samples=6,
    noises=(0.1,),
    hidden=(4,),
)


def test_esnr_of_a_gaussian_sample() -> None:
    """Samples of mean mu and deviation sigma in D parameters: ESNR is |mu|^2 / (D sigma^2)."""
    generator = torch.Generator().manual_seed(0)
    n, mu, sigma = 20_000, torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64), 3.0
    samples = mu + sigma * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    moments = Moments(1, 3, samples)
    moments.add(torch.zeros(n, dtype=torch.int64), samples)
    moments.add(torch.zeros(5, dtype=torch.int64), torch.full((5, 3), torch.nan, dtype=torch.float64))
    found = signal_and_noise(moments.estimate())
    assert found["noise"][0] == pytest.approx(27.0, rel=0.03)
    assert found["variance"][0] == pytest.approx(9.0, rel=0.03)
    assert found["signal"][0] / found["noise"][0] == pytest.approx(5.0 / 27.0, rel=0.05)
    assert found["esnr_parameterwise"][0] == pytest.approx((4.0 / 9.0 + 1.0 / 9.0 + 0.0) / 3.0, rel=0.05)
    assert found["nonfinite"][0] == pytest.approx(5.0 / 20_005.0)


def test_pure_noise_has_no_signal() -> None:
    """|m|^2 alone would be tr V / n too large: over many states the corrected signal averages to nothing."""
    generator = torch.Generator().manual_seed(1)
    states, n = 2000, 4
    samples = torch.randn(states * n, 2, generator=generator, dtype=torch.float64)
    moments = Moments(states, 2, samples)
    moments.add(torch.arange(states).repeat_interleave(n), samples)
    found = signal_and_noise(moments.estimate())
    assert abs(found["signal"].mean()) < 4.0 * found["signal"].std() / np.sqrt(states)
    assert found["noise"].mean() / n == pytest.approx(0.5, rel=0.05)  # what would be left of it otherwise


def test_two_way_intervals() -> None:
    values = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    value, low, high = two_way_interval([values], ratio=False, seed=0)
    assert value == 3.0
    assert 1.0 <= low < 3.0 < high <= 5.0
    ratio = two_way_interval([2.0 * values, values], ratio=True, seed=0)
    assert ratio == pytest.approx((2.0, 2.0, 2.0))
    alone = two_way_interval([values[:1, :1]], ratio=False, seed=0)
    assert alone[0] == 1.0
    assert np.isnan(alone[1:]).all()
    rows = two_way_interval([np.array([[1.0, 1.0], [5.0, 5.0]])], ratio=False, seed=0)
    assert rows == pytest.approx((3.0, 1.0, 5.0))  # seeds are resampled whole


def test_a_tiny_study() -> None:
    work = PendulumWork(TINY, torch.device("cpu"))
    work.run()
    rows = work.ledger.rows
    numbers = {(r["estimator"], r["metric"], r["horizon"]): r for r in rows}
    names = {"closed/truth_h2", "closed/model_h2", "closed/truth_h4", "closed/model_h4", "open/truth", "open/model_h2",
             "open/model_h4"}  # fmt: skip
    assert {n for n, _, _ in numbers} == names
    for name in names:
        assert numbers[name, "variance", 5]["value"] > 0.0
        assert numbers[name, "esnr", 5]["value"] > 0.0
        assert numbers[name, "nonfinite", 5]["value"] == 0.0
        assert (name, "esnr", 1) in numbers or "truth" in name  # no first reward depends on an action in the simulator
    assert numbers["open/truth", "variance", 1]["value"] == 0.0
    assert -1.0 <= numbers["open/model_h2", "cosine", 5]["value"] <= 1.0
    assert ("open/truth", "cosine", 5) not in numbers
    assert ("open/model_h2", "cosine", 1) not in numbers  # the simulator's gradient is zero there
    assert [m["seed"] for m in work.details()["models"]["model_h4"]] == [0, 1]
    again = PendulumWork(TINY, torch.device("cpu"))
    again.run()
    assert [r["value"] for r in again.ledger.rows] == pytest.approx([r["value"] for r in rows], nan_ok=True)


def test_the_id_is_of_what_determines_the_numbers() -> None:
    assert PendulumSpec(horizons=(5, 1, 3, 3)).id == PendulumSpec(horizons=(1, 3, 5), device="cuda").id
    assert PendulumSpec().id != PendulumSpec(samples=10).id


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"horizons": (0,)}, "horizons="),
        ({"samples": 1}, "samples=1"),
        ({"states": 0}, "states=0"),
        ({"noises": (0.0,)}, "noises=0.0"),
        ({"loops": ("ajar",)}, "unknown loop 'ajar'"),
        ({"simulator": "mujoco_c"}, "needs the simulator's gradient"),
        ({"width": 12}, "latent_dim=12"),
        ({"hidden": (0,)}, "hidden=(0,)"),
        ({"env_steps": 480}, "env_steps=480: 32 worlds need at least 16 steps each"),
    ],
)
def test_impossible_settings_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        PendulumSpec(**fields)
    assert message in str(caught.value)
