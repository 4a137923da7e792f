"""What the MJX simulator can't represent is refused by name (nothing is compiled here)."""

from __future__ import annotations

import mujoco
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.mjx.support import check_supported

PLANE = "<geom name='floor' type='plane' size='1 1 1'/>"
SPHERE = "size='.1'"
CYLINDER = "type='cylinder' size='.1 .1'"
MUSCLE = "gaintype='muscle' biastype='muscle' gainprm='{0}' biasprm='{0}'".format(".75 1.05 9 1 .5 1.6 1.5 1.3 1.2")
PATH = "<tendon><spatial name='path' {}><site site='s'/><site site='t'/></spatial></tendon>"


def model(
    joint: str = "", geom: str = "", world: str = "", rest: str = "", option: str = "", flag: str = ""
) -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><option {option}>{flag}</option><worldbody>{world}<site name='s' pos='0 0 1'/>
        <body name='b'><joint name='j' axis='0 1 0' {joint}/><geom name='g' {geom or SPHERE}/>
        <site name='t' pos='.1 0 .1'/></body></worldbody>{rest}</mujoco>"""
    )


def actuator(attributes: str) -> dict[str, str]:
    return {"rest": f"<actuator><general name='a' {attributes}/></actuator>"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"option": "integrator='RK4'"}, "integrator mjINT_RK4.*integrator='Euler'"),
        ({"option": "noslip_iterations='3'"}, "noslip_iterations=3"),
        (actuator("joint='j' dyntype='filter'"), "actuator 'a' has activation dynamics.*dyntype='none'"),
        (
            {"rest": PATH.format("") + "<actuator><muscle name='m' tendon='path' lengthrange='1 2'/></actuator>"},
            "actuator 'm' has activation dynamics.*dyntype='none'",
        ),
        (actuator("joint='j' armature='.1'"), "actuator 'a' has armature"),
        (actuator("joint='j' damping='.1'"), "actuator 'a' has damping"),
        (actuator("joint='j' delay='.1' nsample='20'"), "actuator 'a' has delay"),
        ({"joint": "stiffness='1 2'"}, "joint 'j' has polynomial stiffness"),
        ({"joint": "damping='1 2'"}, "joint 'j' has polynomial damping"),
        ({"rest": PATH.format("stiffness='1 2'")}, "tendon 'path' has polynomial stiffness"),
        ({"rest": PATH.format("damping='1 2'")}, "tendon 'path' has polynomial damping"),
        ({"rest": PATH.format("armature='1'")}, "tendon 'path' has armature"),
        ({"geom": SPHERE + " fluidshape='ellipsoid'"}, "geom 'g' has ellipsoid fluid model"),
        ({"geom": SPHERE + " gap='.1' margin='.2'"}, "geom 'g' has gap"),
        ({"world": PLANE, "geom": SPHERE + " solimp='.9 .95 .001 .5 1.5'"}, "geom 'g' has solimp power 1.5"),
        ({"joint": "range='-1 1' limited='true' solimplimit='.9 .95 .001 .5 2.5'"}, "joint 'j' has solimp power 2.5"),
        (
            {"joint": "range='4 6' limited='true' margin='.1'"},
            "joint 'j' has a limit margin of 0.1, .* use at most 0.017",
        ),
        (
            {"rest": PATH.format("limited='true' range='1 2' margin='.6'")},
            "tendon 'path' has a limit margin of 0.6, more than half its range",
        ),
        ({"option": "actuatorgroupdisable='1'"}, "actuatorgroupdisable .*'mujoco_c'"),
        (
            {"world": "<geom name='step' type='box' size='1 1 .1'/>", "geom": CYLINDER},
            r"geom 'g' \(cylinder\) and geom 'step' \(box\) can collide",
        ),
        (
            {"world": "<geom name='ball' size='.1'/>", "geom": CYLINDER},
            r"geom 'ball' \(sphere\) and geom 'g' \(cylinder\) can collide: MJX searches",
        ),
        (
            {"world": "<geom name='egg' type='ellipsoid' size='.1 .2 .1'/>", "geom": "type='capsule' size='.1 .1'"},
            r"geom 'g' \(capsule\) and geom 'egg' \(ellipsoid\) can collide: MJX searches",
        ),
        (
            {
                "world": PLANE.replace("/>", " condim='1'/>"),
                "geom": SPHERE + " condim='1'",
                "option": "cone='elliptic'",
            },
            "condim 1",
        ),
    ],
)
def test_refusals_name_the_element(arguments: dict[str, str], message: str) -> None:
    refused = model(**arguments)
    with pytest.raises(UsageError, match=message):
        check_supported(refused)


def test_a_model_that_cannot_move_is_refused() -> None:
    still = mujoco.MjModel.from_xml_string("<mujoco><worldbody><body><geom size='.1'/></body></worldbody></mujoco>")
    with pytest.raises(UsageError, match="no joint, so nothing in it can move"):
        check_supported(still)


def test_the_constructor_checks() -> None:
    with pytest.raises(UsageError, match="integrator"):
        envs.make_simulator("mjx", model(option="integrator='RK4'"), num_worlds=1, substeps=1, timestep=1e-3)
    for option in ("iterations", "line_search_iterations"):
        with pytest.raises(UsageError, match=f"{option}=1"):
            envs.make_simulator("mjx", model(), num_worlds=1, substeps=1, timestep=1e-3, **{option: 1})
    with pytest.raises(UsageError, match="float16"):
        envs.make_simulator("mjx", model(), num_worlds=1, substeps=1, timestep=1e-3, dtype=torch.float16)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"world": PLANE, "geom": SPHERE + " solimp='.9 .95 .001 .5 3'"},
        {"world": PLANE, "geom": SPHERE + " condim='3'", "option": "cone='elliptic'"},
        {"world": PLANE, "geom": CYLINDER},
        {"rest": PATH.format("stiffness='3' damping='1'")},
        {"rest": PATH.format("") + f"<actuator><general tendon='path' {MUSCLE} lengthrange='.5 2'/></actuator>"},
        actuator("joint='j' biastype='affine' biasprm='0 -1 -1' gainprm='1'"),
        {
            "world": "<geom type='box' size='1 1 .1'/>",
            "geom": CYLINDER,
            "flag": "<flag contact='disable'/>",
        },
    ],
)
def test_what_mjx_has_is_accepted(arguments: dict[str, str]) -> None:
    check_supported(model(**arguments))
