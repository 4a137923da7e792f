from __future__ import annotations

import pytest

from pwm_bench.analysis.plots.frames import wrapped


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("PWM", ["PWM"]),
        ("PWM (gamma=0.9, lam=0.5)", ["PWM (gamma=0.9,", "lam=0.5)"]),
        ("PWM (critic_learning_rate=0.001)", ["PWM", "(critic_learning_", "rate=0.001)"]),
        ("PWM (critic_rate=0.000001)", ["PWM", "(critic_rate=", "0.000001)"]),
        ("PWM (world_model_up=16)", ["PWM", "(world_model_up=16)"]),
        ("PWM (replay_sampling=episodes)", ["PWM", "(replay_sampling=", "episodes)"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
    ],
)
def test_long_names_break_between_words_and_where_a_sign_parts_them(label: str, lines: list[str]) -> None:
    assert wrapped(label, 20).split("\n") == lines
