from __future__ import annotations

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import checks
from pwm_bench.learning.precision import autocast


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.check_positive, [1, 0.5], [0, -1, float("nan"), float("inf")]),
        (lambda n, v: checks.check_at_least(n, v, 2), [2, 3], [1, float("nan")]),
        (checks.check_finite, [0, -2.5], [float("nan"), float("-inf")]),
        (checks.check_unit, [0, 0.5, 1], [-0.1, 1.1, float("nan")]),
        (lambda n, v: checks.check_count(n, v, 2), [2, 65_536], [1, 65_537, float("nan")]),
        (checks.check_widths, [(), (4, 2), (1,) * 100], [(0,), (4, -1), (2.5,), (65_537,), (1,) * 101]),
        (lambda n, v: checks.check_choice(n, v, ("sum", "mean")), ["sum"], ["summ"]),
    ],
)
def test_values_out_of_range_are_refused_by_name(check, good, bad):
    for value in good:
        check("field", value)
    for value in bad:
        with pytest.raises(UsageError, match="field"):
            check("field", value)


def test_autocast_lowers_matrix_products_only_when_asked():
    x = torch.ones(1, 2, 2)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(precision, "cpu"):
            assert torch.bmm(x, x).dtype == dtype
    with pytest.raises(UsageError, match="precision"):
        autocast("float16", "cpu")


def test_an_environment_of_another_size_is_refused():
    checks.check_worlds(6, 2, 3)
    with pytest.raises(UsageError, match=r"num_envs=4: the environment has 6 worlds for 2 members.*num_envs=8"):
        checks.check_worlds(6, 2, 4)
