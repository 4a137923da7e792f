"""What a model switches off is off in MJX too."""

from __future__ import annotations

import pytest

from tests.envs.test_simulator import difference_from_mujoco


@pytest.mark.parametrize("off", [("clampctrl",), ("spring",), ("damper",), ("spring", "damper")])
def test_what_a_model_switches_off_is_off(off: tuple[str, ...]) -> None:
    """MJX has neither springs nor dampers where one of them is off, and integrates damping that is off implicitly."""
    flag = " ".join(f"{name}='disable'" for name in off)
    assert difference_from_mujoco("mjx", flag=flag, gravity_compensation=0.4) < 1e-12
