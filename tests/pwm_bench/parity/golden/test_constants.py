"""Constants of two robots: equal ones agree whatever the tree, and each that differs is named."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from pwm_bench.parity.golden.constants import compare_constants, rigid_sum
from pwm_bench.parity.golden.file import read_golden
from pwm_bench.parity.golden.published_model import published_constants
from tests.pwm_bench.parity.golden.recordings import GOLDEN

TASKS = sorted(path.stem for path in GOLDEN.glob("*.npz"))
MASSES = {"hopper": 15.82, "ant": 182.18, "anymal": 37.25, "humanoid": 40.84, "cheetah": 21.18, "cartpole": 52.5,
          "double_pendulum": 5.0, "snu": 37.0, "hopper_stiff": 15.82}  # fmt: skip
POINTS = {"hopper": 8, "ant": 25, "anymal": 14, "snu": 88, "cartpole": 0, "cheetah": 16}


def constants(task: str):
    return published_constants(read_golden(GOLDEN / f"{task}.npz"))


def words(ours, theirs) -> list[str]:
    return [row.words for row in compare_constants(ours, theirs) if not row.agrees]


@pytest.mark.parametrize("task", TASKS)
def test_published_constants_equal_themselves(task: str):
    theirs = constants(task)
    rows = compare_constants(theirs, theirs)
    assert all(row.agrees and row.error == 0.0 for row in rows)
    mass = sum(value[0] for (name, _), value in theirs.items() if name == "mass")
    assert mass == pytest.approx(MASSES[task], abs=0.01)
    if task in POINTS:
        assert sum(len(value) for (name, _), value in theirs.items() if name == "contact points") == POINTS[task]


def test_what_is_welded_counts_as_part_of_the_moving_link():
    """ANYmal's hinges carry massless links; what weighs hangs on these by fixed joints."""
    masses = {where: value[0] for (name, where), value in constants("anymal").items() if name == "mass"}
    assert [masses[name] for name in masses if "HFE" in name] == pytest.approx([2.2619] * 4, abs=1e-3)
    assert [masses[name] for name in masses if "KFE" in name] == pytest.approx([0.1131] * 4, abs=1e-3)


def test_gravity_points_down_our_z():
    assert constants("ant")["gravity", "the world"] == pytest.approx([0.0, 0.0, -9.81], abs=1e-6)


def test_each_difference_is_named():
    theirs = constants("hopper")
    changes = {
        ("armature", "rootx"): np.array([0.0]),
        ("mass", "leg_joint"): theirs["mass", "leg_joint"] * 1.4,
        ("friction", "foot_joint"): np.array([0.5]),
        ("damping scheme", "the integrator"): "implicit",
        ("substeps", "a control step"): np.array([15.0]),
        ("limits", "thigh_joint"): np.array([-np.inf, np.inf]),
    }
    found = words(dict(theirs) | changes, theirs)
    assert sorted(found) == [
        "armature of rootx: ours 0, published 1",
        "damping scheme of the integrator: ours implicit, published explicit",
        "friction of foot_joint: ours 0.5, published 0.9",
        "limits of thigh_joint: ours (-inf, inf), published (-2.61799, 0)",
        "mass of leg_joint: ours 3.8939, published 2.781357",
        "substeps of a control step: ours 15, published 16",
    ]


def test_rounding_is_no_difference():
    theirs = constants("hopper")
    rounded = {key: value if isinstance(value, str) else value * (1 + 3e-7) for key, value in theirs.items()}
    assert words(rounded, theirs) == []
    beyond = {key: value if isinstance(value, str) else value * (1 + 3e-6) for key, value in theirs.items()}
    assert len(words(beyond, theirs)) > 50


def test_contact_points_come_in_any_order_and_missing_ones_are_named():
    theirs = constants("hopper")
    key = ("contact points", "foot_joint")
    assert words(dict(theirs) | {key: theirs[key][::-1]}, theirs) == []
    (missing,) = words(dict(theirs) | {key: theirs[key][:1]}, theirs)
    assert missing.startswith("contact points of foot_joint: ours 1, published 2 (missing here: (")
    moved = theirs[key] + np.array([[0.01, 0, 0, 0], [0, 0, 0, 0]])
    (both,) = words(dict(theirs) | {key: moved}, theirs)
    assert "only here" in both
    assert "missing here" in both
    (none,) = words({k: v for k, v in theirs.items() if k[1] != "foot_joint"} | {
        k: v[:0] if k == key else v for k, v in theirs.items() if k[1] == "foot_joint" and not k[0].startswith("fric")
    }, theirs)  # fmt: skip
    assert none.startswith("contact points of foot_joint: ours 0, published 2")


def test_a_quantity_that_only_one_side_has():
    theirs = constants("hopper")
    ours = dict(theirs) | {("limit damping", "leg_joint"): np.array([3.0])}
    del ours["mass", "leg_joint"]
    assert words(ours, theirs) == [
        "mass of leg_joint: ours none, published 2.781357",
        "limit damping of leg_joint: ours 3, published none",
    ]


def test_sum_of_rigid_parts_is_that_of_mujoco():
    """MuJoCo's compiler joins the masses of two geoms of a body."""
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom type='box' size='.1 .2 .3' pos='.1 0 .3' euler='20 30 40'/>"
        "<geom type='sphere' size='.2' pos='-.3 .2 0'/></body>"
        "<body><freejoint/><geom type='box' size='.1 .2 .3' pos='.1 0 .3' euler='20 30 40'/></body>"
        "<body><freejoint/><geom type='sphere' size='.2' pos='-.3 .2 0'/></body></worldbody></mujoco>"
    )

    def axes(body: int) -> np.ndarray:
        matrix = np.zeros(9)
        mujoco.mju_quat2Mat(matrix, model.body_iquat[body])
        turn = matrix.reshape(3, 3)
        return turn @ np.diag(model.body_inertia[body]) @ turn.T

    mass, center, inertia = rigid_sum(model.body_mass[2:], model.body_ipos[2:], np.stack([axes(2), axes(3)]))
    assert mass == pytest.approx(model.body_mass[1])
    assert center == pytest.approx(model.body_ipos[1])
    assert inertia == pytest.approx(axes(1))
