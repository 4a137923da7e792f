"""Contacts, limits and welded bodies of the Warp simulator against values worked out by hand."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.contact import CompliantContact, CompliantLimit
from pwm_bench.envs.simulator import State
from pwm_bench.envs.warp.model import build_link_tree

TIMESTEP = 1e-4
CONTACT = CompliantContact(stiffness=1e4, damping=1e3, friction_damping=50.0, friction=0.5)


def acceleration(mj: mujoco.MjModel, qpos: list[float], qvel: list[float], **options: object) -> np.ndarray:
    simulator = envs.make_simulator(
        "warp", mj, num_worlds=1, substeps=1, timestep=TIMESTEP, dtype=torch.float64, **options
    )
    state = State(torch.tensor([qpos], dtype=torch.float64), torch.tensor([qvel], dtype=torch.float64))
    after = simulator.step(state, torch.zeros(1, mj.nu, dtype=torch.float64))
    return ((after.qvel - state.qvel) / TIMESTEP)[0].numpy()


def free_body(geom: str) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(
        f"<mujoco><worldbody><geom type='plane' size='1 1 1'/><body><freejoint/>"
        f"<inertial pos='0 0 0' mass='2' diaginertia='1 1 1'/><geom {geom}/></body></worldbody></mujoco>"
    )


def test_sphere_slides_at_the_coulomb_limit() -> None:
    """Depth 0.01 m, sinking at 0.2 m/s, sliding at 3 m/s: beyond the Coulomb limit."""
    a = acceleration(free_body("size='.1'"), [0, 0, 0.09, 1, 0, 0, 0], [3.0, 0, -0.2, 0, 0, 0], contact=CONTACT)
    normal = 1e4 * 0.01 + 1e3 * 0.01 * 0.2
    friction = 0.5 * 1e4 * 0.01
    assert a[2] == pytest.approx(normal / 2.0 - 9.81, rel=1e-9)
    assert a[0] == pytest.approx(-friction / 2.0, rel=1e-9)
    assert a[4] == pytest.approx(friction * 0.1, rel=1e-9)  # moment about y at the contact's depth 0.09 + 0.01


def test_slow_sphere_feels_viscous_friction() -> None:
    a = acceleration(free_body("size='.1'"), [0, 0, 0.09, 1, 0, 0, 0], [0.0, 0.4, 0.2, 0, 0, 0], contact=CONTACT)
    assert a[1] == pytest.approx(-50.0 * 0.4 / 2.0, rel=1e-9)
    assert a[2] == pytest.approx(1e4 * 0.01 / 2.0 - 9.81, rel=1e-9)  # rising: no damping


def test_no_force_above_the_ground() -> None:
    a = acceleration(free_body("size='.1'"), [0, 0, 0.1001, 1, 0, 0, 0], [1, 1, -1, 1, 1, 1], contact=CONTACT)
    assert np.allclose(a, [0, 0, -9.81, 0, 0, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("geom", "height", "points"),
    [
        ("type='box' size='.3 .2 .1'", 0.09, 4),
        ("type='capsule' size='.1 .2' euler='0 90 0'", 0.09, 2),
        ("type='ellipsoid' size='.3 .1 .1'", 0.09, 3),
    ],
)
def test_every_lowest_point_of_a_shape_carries(geom: str, height: float, points: int) -> None:
    a = acceleration(free_body(geom), [5, 3, height, 1, 0, 0, 0], [0] * 6, contact=CONTACT)
    assert a[2] == pytest.approx(points * 1e4 * 0.01 / 2.0 - 9.81, rel=1e-9)
    assert np.allclose(a[3:], 0.0, atol=1e-9)


def test_tilted_plane_pushes_along_its_normal() -> None:
    mj = mujoco.MjModel.from_xml_string(
        "<mujoco><option gravity='0 0 0'/><worldbody><geom type='plane' size='1 1 1' euler='0 30 0' pos='0 0 1'/>"
        "<body><freejoint/><geom size='.1' mass='2'/></body></worldbody></mujoco>"
    )
    normal = np.array([math.sin(math.pi / 6), 0.0, math.cos(math.pi / 6)])
    position = np.array([0.0, 0.0, 1.0]) + 0.09 * normal
    a = acceleration(mj, [*position, 1, 0, 0, 0], [0] * 6, contact=CONTACT)
    assert np.allclose(a[:3], normal * 1e4 * 0.01 / 2.0, rtol=1e-9, atol=1e-9)


def test_joint_limit_is_a_spring_and_damper() -> None:
    mj = mujoco.MjModel.from_xml_string(
        "<mujoco><option gravity='0 0 0'/><worldbody><body>"
        "<joint type='slide' axis='1 0 0' range='-1 1' limited='true'/>"
        "<geom size='.1' mass='2'/></body></worldbody></mujoco>"
    )
    limit = CompliantLimit(stiffness=100.0, damping=7.0)
    assert acceleration(mj, [1.5], [2.0], limit=limit)[0] == pytest.approx((-100.0 * 0.5 - 7.0 * 2.0) / 2.0)
    assert acceleration(mj, [-1.5], [2.0], limit=limit)[0] == pytest.approx((100.0 * 0.5 - 7.0 * 2.0) / 2.0)
    assert acceleration(mj, [0.9], [2.0], limit=limit)[0] == 0.0


def test_damping_is_explicit_when_the_model_says_so() -> None:
    xml = (
        "<mujoco><option gravity='0 0 0' timestep='0.01'><flag {}/></option><worldbody><body>"
        "<joint type='slide' damping='50'/><geom size='.1' mass='1'/></body></worldbody></mujoco>"
    )
    for flag, expected in (("", -50.0 / (1.0 + 50.0 * TIMESTEP)), ("eulerdamp='disable'", -50.0)):
        a = acceleration(mujoco.MjModel.from_xml_string(xml.format(flag)), [0.0], [1.0])
        assert a[0] == pytest.approx(expected, rel=1e-9)


def test_welded_bodies_share_a_link() -> None:
    """A body without a joint is part of its parent's link: mass, centre and contact points."""
    mj = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><geom type="plane" size="1 1 1"/><body><freejoint/><geom size="0.1" mass="2"/>
        <body pos="0.6 0 0"><geom size="0.1" mass="1"/>
        <body pos="0.3 0 0"><joint type="hinge"/><geom size="0.1" mass="4" contype="0" conaffinity="0"/></body>
        </body></body></worldbody></mujoco>"""
    )
    tree = build_link_tree(mj)
    assert tree.num_links == 1 + 2 + 1
    assert tree.mass.tolist() == [0.0, 0.0, 3.0, 4.0]
    assert tree.center[2] == pytest.approx([0.2, 0.0, 0.0])
    assert tree.position[3] == pytest.approx([0.9, 0.0, 0.0])
    assert tree.point_link.tolist() == [2, 2]
