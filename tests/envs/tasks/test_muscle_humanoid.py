"""The muscle humanoid: its muscle table, geometry against the literature, symmetry, standing, and the task on it."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.simulator import State
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.tasks.muscles import MUSCLES, muscle_humanoid, normalised_lengths, posture, walking_postures
from pwm_bench.envs.tasks.muscles.skeleton import STANDING_HEIGHT
from pwm_bench.envs.tasks.muscles.table import muscle
from pwm_bench.testing.differences import directional_error, rollout_objective

SIDE = len(MUSCLES)
GRAVITY = 9.81
WORLDS = 2


def forward(
    model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray | float = 0.0, ctrl: float = 0.0
) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
    mujoco.mj_forward(model, data)
    return data


def moments(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """d length / d velocity coordinate of each muscle [m], shape (152, 24)."""
    dense = np.zeros((model.nu, model.nv))
    mujoco.mju_sparse2dense(dense, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
    return dense


# Clinical angles of the left leg at zero posture -> (joint, dof of the joint, sign that increases the angle).
ANGLES = {
    "hip_flexion": ("hip_l", 1, -1.0),
    "hip_abduction": ("hip_l", 0, 1.0),
    "hip_external_rotation": ("hip_l", 2, 1.0),
    "knee_flexion": ("knee_l", 0, 1.0),
    "ankle_dorsiflexion": ("ankle_l", 1, -1.0),
    "ankle_inversion": ("ankle_l", 0, -1.0),
    "hallux_extension": ("hallux_l", 0, 1.0),
    "toes_extension": ("toes_l", 0, 1.0),
}


def moment_arm(model: mujoco.MjModel, data: mujoco.MjData, name: str, angle: str) -> float:
    """Millimetres by which a muscle shortens per radian: positive where it moves the angle up."""
    joint, dof, sign = ANGLES[angle]
    return -1000.0 * sign * moments(model, data)[model.actuator(f"{name}_l").id, model.joint(joint).dofadr[0] + dof]


def mirrored(qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The state seen in a mirror in the plane of symmetry (y -> -y), the root at rest."""
    flip_q = np.array([1.0, -1.0, 1.0, -1.0])
    flip_w = np.array([-1.0, 1.0, -1.0])
    q_leg = np.concatenate((flip_q, [1.0], flip_q, [1.0, 1.0]))
    v_leg = np.concatenate((flip_w, [1.0], flip_w, [1.0, 1.0]))
    q, v = qpos.copy(), qvel.copy()
    q[7:18], q[18:29] = qpos[18:29] * q_leg, qpos[7:18] * q_leg
    v[6:15], v[15:24] = qvel[15:24] * v_leg, qvel[6:15] * v_leg
    return q, v


def test_there_are_76_muscles_a_side_with_names_of_their_own() -> None:
    model = muscle_humanoid()
    names = [model.actuator(u).name for u in range(model.nu)]
    assert model.nu == model.ntendon == len(set(names)) == 152
    assert names[:SIDE] == [f"{m.name}_l" for m in MUSCLES]
    assert names[SIDE:] == [f"{m.name}_r" for m in MUSCLES]
    assert (model.nq, model.nv, model.na) == (29, 24, 0)
    assert 70.0 < model.body_mass.sum() < 75.0
    assert model.actuator_gainprm[:, 2].min() > 10.0  # forces are given, not derived from the scale


def test_a_mistyped_path_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'gracilis'.*'X 1 2 3'"):
        muscle("gracilis", 137, 228, 8, "P 1 2 3, X 1 2 3")


def test_left_and_right_are_mirror_images() -> None:
    model = muscle_humanoid()
    rng = np.random.default_rng(0)
    qpos, qvel = posture(), np.zeros(model.nv)
    qvel[6:] = rng.normal(size=18)
    mujoco.mj_integratePos(model, qpos, np.concatenate((np.zeros(6), 0.5 * rng.normal(size=18))), 1.0)
    ctrl = rng.uniform(size=model.nu)
    data = forward(model, qpos, qvel, ctrl)
    other = forward(model, *mirrored(qpos, qvel), np.concatenate((ctrl[SIDE:], ctrl[:SIDE])))
    for field in ("actuator_length", "actuator_velocity", "actuator_force"):
        values, swapped = getattr(data, field), getattr(other, field)
        assert np.abs(values).max() > 0.1
        assert np.allclose(np.concatenate((swapped[SIDE:], swapped[:SIDE])), values, rtol=0, atol=1e-9)
    _, expected = mirrored(qpos, data.qfrc_actuator)
    assert np.allclose(other.qfrc_actuator[6:], expected[6:], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "angle", "low", "high"),
    [
        ("gluteus_maximus_2", "hip_flexion", -80, -30),
        ("psoas_major_1", "hip_flexion", 20, 50),
        ("iliacus_1", "hip_flexion", 20, 50),
        ("rectus_femoris", "hip_flexion", 30, 60),
        ("semitendinosus", "hip_flexion", -75, -40),
        ("gluteus_medius_1", "hip_abduction", 35, 65),
        ("gluteus_minimus_2", "hip_abduction", 30, 60),
        ("adductor_longus", "hip_abduction", -90, -45),
        ("piriformis", "hip_external_rotation", 15, 40),
        ("obturator_internus_1", "hip_external_rotation", 20, 45),
        ("rectus_femoris", "knee_flexion", -55, -35),
        ("vastus_lateralis_1", "knee_flexion", -55, -35),
        ("vastus_medialis_1", "knee_flexion", -55, -35),
        ("semimembranosus", "knee_flexion", 20, 50),
        ("biceps_femoris_short", "knee_flexion", 15, 40),
        ("gastrocnemius_medialis", "knee_flexion", 15, 35),
        ("gastrocnemius_medialis", "ankle_dorsiflexion", -58, -38),
        ("soleus_1", "ankle_dorsiflexion", -58, -38),
        ("tibialis_anterior", "ankle_dorsiflexion", 30, 55),
        ("tibialis_posterior", "ankle_inversion", 10, 30),
        ("fibularis_longus", "ankle_inversion", -35, -15),
        ("flexor_hallucis_longus", "hallux_extension", -16, -8),
        ("extensor_hallucis_longus", "hallux_extension", 7, 15),
        ("flexor_digitorum_longus", "toes_extension", -14, -6),
        ("extensor_digitorum_longus", "toes_extension", 6, 14),
    ],
)
def test_moment_arms_standing(name: str, angle: str, low: float, high: float) -> None:
    """Signs from anatomy, magnitudes within the spread of the literature (Arnold et al. 2010, figures 3 to 6)."""
    model = muscle_humanoid()
    assert low < moment_arm(model, forward(model, posture()), name, angle) < high


def test_muscles_keep_their_side_of_the_joint() -> None:
    """Over the joints' ranges no knee, ankle or toe muscle slips to the other side of its joint."""
    model = muscle_humanoid()
    for knee in (0, 30, 60, 90, 110):
        data = forward(model, posture({"knee_flexion": knee}))
        for name in ("vastus_lateralis_1", "vastus_medialis_2", "rectus_femoris", "vastus_intermedius"):
            assert moment_arm(model, data, name, "knee_flexion") < -10.0
        for name in ("semimembranosus", "biceps_femoris_long", "gastrocnemius_lateralis", "gracilis"):
            assert moment_arm(model, data, name, "knee_flexion") > 5.0
    for ankle in (-40, -20, 0, 20):
        data = forward(model, posture({"ankle_dorsiflexion": ankle}))
        assert moment_arm(model, data, "soleus_2", "ankle_dorsiflexion") < -30.0
        assert moment_arm(model, data, "tibialis_anterior", "ankle_dorsiflexion") > 20.0
    for toe in (-25, 0, 25, 50):
        data = forward(model, posture({"toe_extension": toe}))
        assert moment_arm(model, data, "flexor_hallucis_brevis_1", "hallux_extension") < -4.0
        assert moment_arm(model, data, "extensor_hallucis_brevis", "hallux_extension") > 4.0
    for hip in (-20, 0, 30, 60, 80):
        data = forward(model, posture({"hip_flexion": hip}))
        assert moment_arm(model, data, "psoas_major_1", "hip_flexion") > 20.0
        assert moment_arm(model, data, "gluteus_maximus_2", "hip_flexion") < -15.0


def test_fibres_work_near_their_optimum_while_walking() -> None:
    model = muscle_humanoid()
    lengths = np.array(
        [normalised_lengths(model, forward(model, posture(a, a)).ten_length) for a in walking_postures()]
    )
    assert lengths.min() > 0.6
    assert lengths.max() < 1.3
    assert ((lengths > 0.7) & (lengths < 1.3)).mean() > 0.95
    optimal = np.diff(model.actuator_lengthrange, axis=1)[:, 0] / np.diff(model.actuator_gainprm[:, :2], axis=1)[:, 0]
    published = np.array([m.fibre_length * math.cos(math.radians(m.pennation)) for m in MUSCLES] * 2)
    assert np.median(optimal / published) == pytest.approx(1.0)
    assert (optimal / published).max() < 1.8  # lengthened where paths without wrapping move more than fibres can


def test_normalised_length_is_mujocos() -> None:
    """At full activation and rest a muscle pulls with its maximal force exactly where the length is 1."""
    model = muscle_humanoid()
    u = model.actuator("soleus_1_l").id
    low, high = model.actuator_lengthrange[u]
    (length,) = low + (1.0 - 0.75) / 0.3 * (high - low) * np.ones(1)
    gain = mujoco.mju_muscleGain(length, 0.0, model.actuator_lengthrange[u], 1.0, model.actuator_gainprm[u, :9])
    assert normalised_lengths(model, np.full(model.nu, length))[u] == pytest.approx(1.0)
    assert -gain == pytest.approx(1793.0 * math.cos(math.radians(28.0)))


def test_soles_are_on_the_ground() -> None:
    model = muscle_humanoid()
    data = forward(model, model.qpos0)
    assert np.allclose(model.qpos0, posture())
    for side in "lr":
        for name in ("heel", "ball", "hallux", "toes"):
            geom = data.geom(f"{name}_{side}")
            radius, half = model.geom(geom.id).size[:2]
            lowest = geom.xpos[2] - radius - half * abs(geom.xmat[8])
            assert abs(lowest) < 0.01
    heel, ball = data.geom("heel_l").xpos[0], data.geom("ball_l").xpos[0]
    assert heel < data.subtree_com[1, 0] < ball


def test_passive_body_falls_no_faster_than_freely() -> None:
    model = muscle_humanoid()
    at_rest = forward(model, posture())
    assert np.abs(at_rest.qfrc_actuator[6:]).max() < 30.0  # [N m]; passive muscle forces alone
    data = mujoco.MjData(model)
    start = at_rest.subtree_com[1, 2]
    potential = mujoco.MjData(model)
    while data.time < 0.5:
        mujoco.mj_step(model, data)
        assert np.abs(data.qvel).max() < 12.0
        potential.qpos[:] = data.qpos
        mujoco.mj_kinematics(model, potential)
        mujoco.mj_comPos(model, potential)
        assert potential.subtree_com[1, 2] > start - 0.5 * GRAVITY * data.time**2 - 0.002
        assert potential.subtree_com[1, 2] < start + 0.03


def state_of(*, height: float, yaw: float, dtype: torch.dtype = torch.float64) -> State:
    qpos = torch.from_numpy(posture({"knee_flexion": 30.0}))[None].to(dtype)
    qpos[0, :7] = torch.tensor([2.0, 0.0, height, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)])
    qvel = torch.full((1, 24), 10.0, dtype=dtype)
    qvel[0, :6] = torch.tensor([1.5, 0.2, 0.1, 1.0, 0.0, 0.0])
    return State(qpos, qvel)


def test_observation_reward_and_termination() -> None:
    task = load_task("muscle_humanoid")
    yaw = math.pi / 3
    obs = task.observation(state_of(height=0.9, yaw=yaw), torch.ones(1, 152, dtype=torch.float64))
    assert obs.shape == (1, 53)
    assert obs[0, 0].item() == pytest.approx(0.9)
    assert obs[0, 5:8].tolist() == pytest.approx([1.5, 0.1, -0.2])
    assert obs[0, 8:11].tolist() == pytest.approx([math.cos(yaw), 0.0, -math.sin(yaw)])  # the body's x axis
    assert obs[0, 11:15].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert obs[0, 15].item() == pytest.approx(math.pi / 6)
    assert torch.allclose(obs[0, 33:51], torch.ones(18, dtype=torch.float64))
    assert obs[0, 51:].tolist() == pytest.approx([1.0, math.cos(yaw)])
    action = torch.full((1, 152), -0.5, dtype=torch.float64)
    assert task.reward(obs, action).item() == pytest.approx(1.5 + 0.1 + math.cos(yaw) - 0.001 * 76)
    assert task.forward_velocity(obs).item() == 1.5
    heights = torch.zeros(2, 53)
    heights[:, 0] = torch.tensor([0.459, 0.461])
    assert task.terminated(heights).tolist() == [True, False]


def test_activation_maps_differ_between_the_variants() -> None:
    action = torch.linspace(-1.0, 1.0, 152)[None]
    default, raw = load_task("muscle_humanoid"), load_task("muscle_humanoid_raw")
    assert torch.allclose(default.control(action), 0.5 * action + 0.5)
    assert torch.equal(raw.control(action), action)
    assert default.model().actuator_ctrlrange.tolist() == [[0.0, 1.0]] * 152
    assert raw.model().actuator_ctrlrange.tolist() == [[-1.0, 1.0]] * 152
    push = forward(raw.model(), posture(), ctrl=-1.0).actuator_force
    pull = forward(raw.model(), posture(), ctrl=1.0).actuator_force
    rest = forward(raw.model(), posture()).actuator_force
    assert np.allclose(push - rest, rest - pull)
    assert (pull < rest).all()


def test_reset_leaves_joints_alone_and_feet_above_ground() -> None:
    task = load_task("muscle_humanoid")
    generator = torch.Generator().manual_seed(0)
    noise = 2.0 * torch.rand(256, task.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = task.reset_state(noise)
    assert torch.equal(state.qpos[:, 7:], torch.from_numpy(posture())[7:].expand(256, -1))
    height = state.qpos[:, 2] - STANDING_HEIGHT
    assert 0.0 <= height.min() < 0.01
    assert 0.09 < height.max() <= 0.1
    assert 0.09 < state.qpos[:, :2].abs().max() <= 0.1
    assert 0.2 < state.qvel.abs().max() <= 0.25
    assert torch.allclose(state.qpos[:, 3:7].norm(dim=1), torch.ones(256, dtype=torch.float64))


@pytest.mark.parametrize("which", [0, 1, 2], ids=["qpos", "qvel", "ctrl"])
def test_gradients_in_contact(which: int) -> None:
    task = load_task("muscle_humanoid")
    substeps = 16
    simulator = envs.make_simulator(
        "warp",
        task.model(),
        num_worlds=WORLDS,
        substeps=substeps,
        timestep=task.control_dt / 48,
        dtype=torch.float64,
        **task.simulator_options(envs.capabilities("warp")),
    )
    generator = torch.Generator().manual_seed(0)
    noise = 2.0 * torch.rand(WORLDS, task.noise_dim, generator=generator, dtype=torch.float64) - 1.0
    state = task.reset_state(noise)
    qpos = state.qpos.clone()
    qpos[:, 2] = STANDING_HEIGHT - 0.02
    qpos[:, 11] = qpos[:, 22] = 0.3
    ctrl = torch.rand(2, WORLDS, 152, generator=generator, dtype=torch.float64)
    error = directional_error(rollout_objective(simulator), (qpos, state.qvel, ctrl), which, directions=2)
    assert error.max() < 1e-5
