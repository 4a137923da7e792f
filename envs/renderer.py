"""Pictures of a model's states by MuJoCo's own renderer, without a window."""

from __future__ import annotations

import importlib
import os
import platform
from typing import Any

import mujoco
import numpy as np

from pwm_bench.envs.errors import UsageError

__all__ = ["SIZES", "Renderer"]

SIZES = (16, 4096)
"""Smallest and largest width and height [pixels]."""

_CAMERA = "track"
_SKY = (0.90, 0.93, 0.97, 1.0)
_TICK = (0.55, 0.58, 0.62, 1.0)
_BACKENDS = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa", "glfw": "mujoco.glfw", "cgl": "mujoco.cgl"}
_MOST_GEOMS = 4000
_TICKS = 20  # drawn each metre to either side of the body where there is no ground to see motion against


class Renderer:
    """Draws one state at a time.

    The view is that of the model's camera ``track`` if it has one; else a free camera looks along y and follows the
    first moving body, at the height of the initial pose.

    The OpenGL back end is ``$MUJOCO_GL`` (egl, osmesa, glfw, cgl) where that is set, else EGL on Linux, which needs
    neither a display nor a GPU. It is chosen when a renderer is made, not when mujoco is imported.

    Args:
        model: compiled model; it is copied.
        width: [pixels].
        height: [pixels].

    Raises:
        UsageError: a size out of range, or no OpenGL.
    """

    def __init__(self, model: mujoco.MjModel, width: int = 640, height: int = 480) -> None:
        self._context: mujoco.MjrContext | None = None
        for name, value in (("width", width), ("height", height)):
            if not SIZES[0] <= value <= SIZES[1]:
                raise UsageError(f"{name}={value}: must be between {SIZES[0]} and {SIZES[1]} pixels")
        self.width, self.height = width, height
        self.model = model.__copy__()
        self._data = mujoco.MjData(self.model)
        low, high = _bounds(self.model, self._data)
        size = float(np.linalg.norm(high - low))
        _dress(self.model, size, width, height)
        self._grounded = bool((self.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE).any())
        self._camera = _camera(self.model, 0.5 * (low + high), size)
        self._backdrop = 20.0 * size
        self._scene = mujoco.MjvScene(self.model, maxgeom=_MOST_GEOMS)
        self._options = mujoco.MjvOption()
        self._rectangle = mujoco.MjrRect(0, 0, width, height)
        self._gl = _gl_context(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)

    def render(self, qpos: np.ndarray) -> np.ndarray:
        """Draws a state.

        Args:
            qpos: generalised position, shape ``(nq,)``.

        Returns:
            The picture, uint8, shape ``(height, width, 3)``.

        Raises:
            UsageError: a position of another shape or that is not finite, or the renderer is closed.
        """
        if self._context is None:
            raise UsageError("this renderer is closed: make a new one")
        if np.shape(qpos) != (self.model.nq,) or not np.isfinite(qpos).all():
            raise UsageError(f"qpos={qpos}: must be {self.model.nq} finite numbers, the position of one world")
        model, data, scene = self.model, self._data, self._scene
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mj_tendon(model, data)
        centre = data.subtree_com[1]
        if self._camera.type == mujoco.mjtCamera.mjCAMERA_FREE:
            self._camera.lookat[:2] = centre[:2]
        mujoco.mjv_updateCamera(model, data, self._camera, scene)  # first: an endless ground is drawn around the camera
        mujoco.mjv_updateScene(model, data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, scene)
        scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = 1
        self._add_backdrop()
        if not self._grounded:
            self._add_ticks(round(float(centre[0])))
        self._gl.make_current()
        mujoco.mjr_render(self._rectangle, scene, self._context)
        picture = np.empty((self.height, self.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._rectangle, self._context)
        return np.flipud(picture).copy()

    def close(self) -> None:
        """Frees the OpenGL context; safe to call again."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._context = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _add_backdrop(self) -> None:
        """A wall in the colour of the sky, where MuJoCo would leave black; the ground fades into it."""
        eye = self._scene.camera[0]
        forward, up = np.array(eye.forward), np.array(eye.up)
        rotation = np.stack((np.cross(up, -forward), up, -forward), axis=1)
        position = np.array(eye.pos) + self._backdrop * forward
        half = 4.0 * self._backdrop
        self._add(mujoco.mjtGeom.mjGEOM_BOX, (half, half, 1e-3), position, rotation, _SKY, emission=1.0)

    def _add_ticks(self, middle: int) -> None:
        for x in range(middle - _TICKS, middle + _TICKS + 1):
            height = 0.12 if x % 5 == 0 else 0.06
            self._add(mujoco.mjtGeom.mjGEOM_BOX, (0.008, 0.008, height), (x, 0.2, 0.0), np.eye(3), _TICK)

    def _add(
        self, shape: mujoco.mjtGeom, size: Any, position: Any, rotation: np.ndarray, rgba: Any, emission: float = 0.0
    ) -> None:
        scene = self._scene
        if scene.ngeom >= _MOST_GEOMS:
            return
        geom = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(
            geom,
            shape,
            np.asarray(size, float),
            np.asarray(position, float),
            rotation.flatten(),
            np.asarray(rgba, "f4"),
        )
        geom.category = mujoco.mjtCatBit.mjCAT_DECOR.value  # casts no shadow
        geom.emission, geom.specular, geom.reflectance = emission, 0.0, 0.0
        scene.ngeom += 1


def _bounds(model: mujoco.MjModel, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner of what can move, in the initial pose [m]."""
    mujoco.mj_kinematics(model, data)
    moving = np.flatnonzero(model.geom_bodyid)
    if not moving.size:
        return np.full(3, -1.0), np.full(3, 1.0)
    centres, radii = data.geom_xpos[moving], model.geom_rbound[moving, None]
    return (centres - radii).min(0), (centres + radii).max(0)


def _dress(model: mujoco.MjModel, size: float, width: int, height: int) -> None:
    """Sets what concerns looks only: picture size, fog, lights that follow, the ground in its texture's colours."""
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    model.stat.extent = size  # the unit of the clipping, fog and shadow distances
    model.vis.map.fogstart, model.vis.map.fogend = 5.0, 14.0
    model.vis.map.zfar, model.vis.map.shadowclip = 60.0, 3.0  # the shadow map's edge, out of view, shows specks
    model.vis.rgba.fog = _SKY
    model.vis.quality.shadowsize = 2048
    model.light_mode[:] = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM.value
    for ground in np.flatnonzero((model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & (model.geom_matid >= 0)):
        model.geom_rgba[ground] = 1.0  # a default colour of the bodies would tint it
        material, extent = model.geom_matid[ground], 2.0 * model.geom_size[ground, :2]
        if not model.mat_texuniform[material] and extent.all():  # without bounds, tiles as large as they were
            model.mat_texrepeat[material] /= extent
            model.mat_texuniform[material] = True
        model.geom_size[ground, :2] = 0.0


def _camera(model: mujoco.MjModel, centre: np.ndarray, size: float) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    named = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, _CAMERA)
    if named >= 0:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, named
        return camera
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = centre
    camera.distance = 0.75 * size / np.tan(np.radians(0.5 * model.vis.global_.fovy))
    camera.azimuth, camera.elevation = 90.0, -12.0
    return camera


def _gl_context(width: int, height: int) -> Any:
    default = {"Linux": "egl", "Darwin": "cgl"}.get(platform.system(), "glfw")
    name = os.environ.get("MUJOCO_GL", "").lower().strip() or default
    if name not in _BACKENDS:
        raise UsageError(f"MUJOCO_GL={name}: must be one of {', '.join(_BACKENDS)}, or not set")
    try:
        return importlib.import_module(_BACKENDS[name]).GLContext(width, height)
    except Exception as error:  # each back end, and PyOpenGL, raises its own kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(
            f"no OpenGL through '{name}' ({reason}): install Mesa's EGL (Debian: libegl1 libgl1-mesa-dri), "
            "or set MUJOCO_GL=osmesa (libosmesa6), or MUJOCO_GL=glfw on a desktop"
        ) from None
