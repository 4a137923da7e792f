"""The offscreen renderer: what is in the picture, where the camera looks."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.renderer import Renderer

GROUND = """<asset>
<texture name="t" type="2d" builtin="checker" rgb1=".9 .9 .9" rgb2=".8 .8 .8" width="64" height="64"/>
<material name="m" texture="t" texrepeat="10 10"/></asset>"""
BALL = """<mujoco>{asset}<worldbody><light pos="0 0 4" dir="0 0 -1" directional="true"/>{ground}{camera}
<body pos="0 0 1"><joint type="slide" axis="1 0 0"/><geom type="sphere" size=".3" rgba="1 0 0 1"/></body>
</worldbody></mujoco>"""
PLANE = '<geom type="plane" size="5 5 1" material="m"/>'


def ball(ground: bool = True, camera: str = "") -> mujoco.MjModel:
    text = BALL.format(asset=GROUND if ground else "", ground=PLANE if ground else "", camera=camera)
    return mujoco.MjModel.from_xml_string(text)


def red(picture: np.ndarray) -> np.ndarray:
    """Mask of the ball's pixels."""
    values = picture.astype(int)
    return values[..., 0] > values[..., 1] + 60


@pytest.mark.parametrize("x", [0.0, 2.0, 300.0])
def test_it_follows_the_body_over_an_endless_ground(x: float) -> None:
    """300 m is far beyond the 5 m of the model's ground and of the view."""
    with Renderer(ball(), 160, 120) as renderer:
        picture = renderer.render(np.array([x]))
        assert np.array_equal(picture, renderer.render(np.array([x])))
    assert picture.shape == (120, 160, 3)
    assert picture.dtype == np.uint8
    rows, columns = np.nonzero(red(picture))
    assert abs(columns.mean() - 79.5) < 1.5
    assert abs(rows.mean() - 59.5) < 3.0
    sky, ground = picture[:10].astype(int), picture[-20:].astype(int)
    assert sky.min() > 200
    assert (sky == sky[0, 0]).all()
    assert len(np.unique(ground.sum(2) // 30)) > 1  # tiles, not one colour


def test_a_camera_named_track_is_used() -> None:
    camera = '<camera name="track" pos="0 0 6" xyaxes="1 0 0 0 1 0"/>'
    with Renderer(ball(camera=camera), 160, 120) as renderer:
        middle, aside = (red(renderer.render(np.array([x]))) for x in (0.0, 1.0))
    assert np.nonzero(aside)[1].mean() > np.nonzero(middle)[1].mean() + 10  # fixed, from above: the ball moves


def test_motion_shows_without_a_ground() -> None:
    with Renderer(ball(ground=False), 160, 120) as renderer:
        here, there = renderer.render(np.array([0.0])), renderer.render(np.array([0.4]))
    assert not np.array_equal(here, there)
    assert here.min() > 0 or red(here).any()
    assert (here.sum(2) == 0).mean() == 0  # no black where there is nothing


def test_the_models_looks_are_left_alone() -> None:
    model = ball()
    before = model.geom_size.copy(), model.vis.global_.offwidth
    Renderer(model, 64, 48).close()
    assert np.array_equal(before[0], model.geom_size)
    assert before[1] == model.vis.global_.offwidth


def test_bad_use_is_named() -> None:
    with pytest.raises(UsageError, match="height=5000: must be between 16 and 4096"):
        Renderer(ball(), 64, 5000)
    renderer = Renderer(ball(), 64, 48)
    for qpos in (np.zeros((2, 1)), np.array(0.0), np.array([np.nan])):
        with pytest.raises(UsageError, match="must be 1 finite numbers, the position of one world"):
            renderer.render(qpos)
    renderer.close()
    renderer.close()
    with pytest.raises(UsageError, match="closed"):
        renderer.render(np.zeros(1))
