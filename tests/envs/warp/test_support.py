"""What the Warp simulator can't represent is refused by name."""

from __future__ import annotations

import mujoco
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError

BODY = "<body name='b'><joint name='j' type='hinge' {joint}/><geom name='g' size='.1' {geom}/>{inside}</body>"


def model(
    joint: str = "", geom: str = "", inside: str = "", world: str = "", rest: str = "", option: str = ""
) -> mujoco.MjModel:
    body = BODY.format(joint=joint, geom=geom, inside=inside)
    return mujoco.MjModel.from_xml_string(
        f"<mujoco><option {option}/><worldbody>{world}{body}</worldbody>{rest}</mujoco>"
    )


def load(mj: mujoco.MjModel) -> None:
    envs.make_simulator("warp", mj, num_worlds=1, substeps=1, timestep=1e-3)


SITES = "<site name='s' pos='0 0 1'/>"
INSIDE = "<site name='t' pos='0 0 .1'/>"
FIXED = "<fixed name='p'><joint joint='j' coef='1'/></fixed>"
SEGMENT = "<site site='s'/><site site='t'/>"
PATH = "<spatial name='p' {}>" + SEGMENT + "</spatial>"
BRAKE = "<dcmotor name='brake' joint='j' motorconst='1 1' resistance='1' input='none'/>"  # without a control
PLANE = "<geom name='floor' type='plane' size='1 1 1'/>"


def tendon(element: str, actuator: str = "") -> dict[str, str]:
    rest = f"<tendon>{element}</tendon><actuator>{actuator}</actuator>"
    return {"world": SITES, "inside": INSIDE, "rest": rest}


def pull(actuator: str) -> dict[str, str]:
    return tendon(PATH.format(""), actuator)


@pytest.mark.parametrize(
    ("arguments", "element"),
    [
        ({"joint": "frictionloss='1'"}, "frictionloss on joint 'j'"),
        ({"option": "integrator='implicitfast'"}, "Euler"),
        ({"option": "viscosity='1'"}, "viscosity"),
        ({"option": "density='1'"}, "density"),
        ({"rest": "<equality><joint joint1='j'/></equality>"}, "equality"),
        (tendon(FIXED), "tendon 'p' is fixed .*; put motors on the joints"),
        (
            tendon("<spatial name='p'><site site='s'/><geom geom='g'/><site site='t'/></spatial>"),
            "'p' wraps .*more sites",
        ),
        (
            tendon(f"<spatial name='p'>{SEGMENT}<pulley divisor='2'/>{SEGMENT}</spatial>"),
            "tendon 'p' runs over a pulley; make each branch a tendon",
        ),
        (tendon(PATH.format("stiffness='1'")), "stiffness on tendon 'p'"),
        (tendon(PATH.format("stiffness='0 1'")), "nonlinear stiffness on tendon 'p'"),
        (tendon(PATH.format("damping='1'")), "damping on tendon 'p'"),
        (tendon(PATH.format("damping='0 1'")), "nonlinear damping on tendon 'p'"),
        (tendon(PATH.format("frictionloss='1'")), "frictionloss on tendon 'p'"),
        (tendon(PATH.format("armature='1'")), "armature on tendon 'p'"),
        (tendon(PATH.format("range='0 1'")), "a limit on tendon 'p'"),
        (tendon(PATH.format("actuatorfrcrange='0 1'")), "an actuator force range on tendon 'p'"),
        (pull("<muscle name='m' tendon='p' lengthrange='1 2'/>"), "'m' has activation dynamics.*use dyntype='none'"),
        (pull("<position name='servo' tendon='p'/>"), "actuator 'servo', which is neither a muscle nor a motor"),
        (pull("<motor name='m' tendon='p' forcerange='0 1'/>"), "force range on actuator 'm'"),
        (pull("<motor name='m' tendon='p' armature='1'/>"), "armature on actuator 'm'"),
        (pull("<motor name='m' joint='j' damping='1'/>"), "damping on actuator 'm'"),
        (pull("<motor name='m' joint='j' delay='.1' nsample='20'/>"), "delay on actuator 'm'"),
        (
            pull("<motor name='m' joint='j' group='1'/>") | {"option": "actuatorgroupdisable='1'"},
            "actuatorgroupdisable",
        ),
        ({"rest": "<actuator><position name='servo' joint='j'/></actuator>"}, "actuator 'servo'"),
        (pull("<motor joint='j'/>" + BRAKE), "actuator 'brake' has activation dynamics"),
        ({"rest": "<actuator><motor name='strong' joint='j' forcerange='-1 1'/></actuator>"}, "'strong'"),
        ({"world": SITES, "inside": INSIDE, "rest": "<actuator><motor name='m' site='t'/></actuator>"}, "actuator 'm'"),
        ({"world": PLANE, "geom": "type='cylinder' size='.1 .1'"}, "cylinder geom 'g'"),
        ({"world": PLANE + "<geom name='wall' type='plane' size='1 1 1'/>"}, "'floor', geom 'wall'"),
        ({"world": "<geom name='block' size='1' pos='2 0 0'/>"}, "geom 'block' and geom 'g' could touch"),
        ({"world": PLANE, "geom": "margin='.01'"}, "geom 'g'"),
        ({"world": PLANE.replace("/>", " surfacevel='1 0 0 0 0 0'/>")}, "a surface velocity of geom 'floor'"),
        ({"world": PLANE, "geom": "adhesion='1'"}, "adhesion of geom 'g'"),
        ({"world": "<body mocap='true'><geom size='.1' contype='0' conaffinity='0'/></body>"}, "mocap"),
    ],
)
def test_refusals_name_the_element(arguments: dict[str, str], element: str) -> None:
    if arguments.get("geom", "").startswith("type='cylinder'"):
        mj = mujoco.MjModel.from_xml_string(
            f"<mujoco><worldbody>{PLANE}<body><joint/><geom name='g' {arguments['geom']}/></body></worldbody></mujoco>"
        )
    else:
        mj = model(**arguments)
    with pytest.raises(UsageError, match=element):
        load(mj)


def test_stiffness_of_a_free_joint_is_refused() -> None:
    body = "<body><joint name='root' type='free' stiffness='{}'/><geom size='.1'/></body>"
    xml = f"<mujoco><worldbody>{body}</worldbody></mujoco>"
    load(mujoco.MjModel.from_xml_string(xml.format(0)))
    with pytest.raises(UsageError, match="stiffness on free joint 'root'"):
        load(mujoco.MjModel.from_xml_string(xml.format(1)))


def test_tendons_that_only_muscles_and_motors_pull_are_accepted() -> None:
    muscle = "gaintype='muscle' biastype='muscle' gainprm='{0}' biasprm='{0}'".format(".75 1.05 9 1 .5 1.6 1.5 1.3 1.2")
    load(model(**tendon(PATH.format(""))))
    load(model(**pull("<motor tendon='p'/><motor joint='j'/>")))
    load(model(**pull(f"<general tendon='p' {muscle} lengthrange='.5 2'/>")))


def test_colliding_bodies_are_refused_and_excluded_ones_are_not() -> None:
    body = "<body name='{0}'><freejoint/><geom name='g{0}' size='.1'/></body>"
    world = body.format("a") + body.format("b")
    xml = "<mujoco><worldbody>{}</worldbody>{}</mujoco>"
    with pytest.raises(UsageError, match="geom 'ga' and geom 'gb'"):
        load(mujoco.MjModel.from_xml_string(xml.format(world, "")))
    load(mujoco.MjModel.from_xml_string(xml.format(world, "<contact><exclude body1='a' body2='b'/></contact>")))


def test_wrong_tensors_are_named() -> None:
    simulator = envs.make_simulator("warp", model(), num_worlds=2, substeps=1, timestep=1e-3)
    good = envs.simulator.State(torch.zeros(2, 1), torch.zeros(2, 1))
    with pytest.raises(UsageError, match=r"ctrl is \(2, 3\)"):
        simulator.step(good, torch.zeros(2, 3))
    with pytest.raises(UsageError, match=r"qvel is .* torch.float64"):
        simulator.step(envs.simulator.State(good.qpos, good.qvel.double()), torch.zeros(2, 0))


def test_a_model_without_joints_is_refused() -> None:
    still = mujoco.MjModel.from_xml_string("<mujoco><worldbody><body><geom size='.1'/></body></worldbody></mujoco>")
    with pytest.raises(UsageError, match="no joint"):
        load(still)
