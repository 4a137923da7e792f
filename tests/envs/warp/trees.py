"""Random kinematic trees as MJCF, and states for them."""

from __future__ import annotations

import mujoco
import numpy as np
import torch

from pwm_bench.envs.simulator import State

__all__ = ["random_states", "random_tree", "random_tree_xml"]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{v:.17g}" for v in np.atleast_1d(values))


def _unit(rng: np.random.Generator, size: int) -> np.ndarray:
    v = rng.normal(size=size)
    return v / np.linalg.norm(v)


def _joint(rng: np.random.Generator, kind: str, index: int) -> str:
    inertial = f"armature='{rng.uniform(0, 0.3):.17g}' damping='{rng.uniform(0, 2):.17g}'"
    common = f"{inertial} pos='{_numbers(rng.normal(size=3) * 0.1)}'"
    if kind == "ball":
        return f"<joint type='ball' {common} stiffness='{rng.uniform(0, 20):.17g}'/>"
    spring = f"stiffness='{rng.uniform(0, 20):.17g}' springref='{rng.normal():.17g}' ref='{rng.normal() * 0.3:.17g}'"
    return f"<joint name='j{index}' type='{kind}' axis='{_numbers(_unit(rng, 3))}' {common} {spring}/>"


def random_tree(seed: int, bodies: int) -> mujoco.MjModel:
    """`random_tree_xml`, compiled."""
    return mujoco.MjModel.from_xml_string(random_tree_xml(seed, bodies))


def random_tree_xml(seed: int, bodies: int) -> str:
    """A tree of up to ``bodies`` bodies: free, ball, slide and hinge joints, several on a body or none, welded bodies,
    several trees, gears, springs with reference postures, tilted gravity."""
    rng = np.random.default_rng(seed)
    children: dict[int, list[int]] = {n: [] for n in range(bodies + 1)}
    for b in range(1, bodies + 1):
        children[int(rng.integers(0, b))].append(b)
    motors = []

    def body(b: int, parent: int) -> str:
        choice = rng.random()
        joints = ""
        if parent == 0 and choice < 0.3:
            joints = "<freejoint/>"
        elif choice < 0.45:
            joints = _joint(rng, "ball", b)
        elif choice < 0.9 or b == 1:
            for n in range(int(rng.integers(1, 4))):
                index = 10 * b + n
                joints += _joint(rng, str(rng.choice(["slide", "hinge"])), index)
                if rng.random() < 0.5:
                    motors.append(f"<motor joint='j{index}' gear='{rng.normal() * 5:.17g}'/>")
        inside = "".join(body(c, b) for c in children[b])
        return (
            f"<body pos='{_numbers(rng.normal(size=3) * 0.5)}' quat='{_numbers(_unit(rng, 4))}'>{joints}"
            f"<geom type='box' size='{_numbers(rng.uniform(0.05, 0.3, 3))}' pos='{_numbers(rng.normal(size=3) * 0.2)}' "
            f"quat='{_numbers(_unit(rng, 4))}' contype='0' conaffinity='0'/>{inside}</body>"
        )

    world = "".join(body(c, 0) for c in children[0])
    return (
        f"<mujoco><option gravity='{_numbers(rng.normal(size=3) * 5)}'/><worldbody>{world}</worldbody>"
        f"<actuator>{''.join(motors)}</actuator></mujoco>"
    )


def random_states(model: mujoco.MjModel, worlds: int, seed: int) -> tuple[State, torch.Tensor]:
    """States all over the configuration space, and controls."""
    rng = np.random.default_rng(seed)
    qpos = np.tile(model.qpos0, (worlds, 1))
    for row in qpos:
        mujoco.mj_integratePos(model, row, rng.normal(size=model.nv), 1.0)
    qvel = rng.normal(size=(worlds, model.nv)) * 2.0
    ctrl = rng.uniform(-1.0, 1.0, size=(worlds, model.nu))
    return State(torch.from_numpy(qpos), torch.from_numpy(qvel)), torch.from_numpy(ctrl)
