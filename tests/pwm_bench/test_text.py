from __future__ import annotations

import math

import pytest

from pwm_bench.text import count, duration, number, number_of_any_size, printable


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.4, "1,234"),
        (99.96, "100.0"),
        (45.64, "45.6"),
        (-0.123, "-0.12"),
        (0.0, "0.00"),
        (-0.001, "0.00"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (300_000, "300k"),
        (999_900, "1M"),
        (2_345_678, "2.35M"),
        (4e9, "4G"),
        (-0.04, "0"),
        (None, "–"),
    ],
)
def test_counts(value, text):
    assert count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1.0 min"),
        (318, "5.3 min"),
        (3569, "59.5 min"),
        (3571, "1.0 h"),
        (4320, "1.2 h"),
        (None, "–"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.004123, "0.0041"), (-0.0346, "-0.035"), (4.1e-5, "4.1e-05"), (0.0, "0.00"), (0.123, "0.12"), (math.nan, "–")],
)
def test_numbers_that_spread_over_orders_of_magnitude_keep_two_digits(value, text):
    assert number_of_any_size(value) == text


def test_what_a_terminal_would_obey_is_spelt_out():
    assert printable("unknown task '\x1b[31m\ud800': · –\nnext") == "unknown task '\\x1b[31m\\ud800': · –\nnext"
