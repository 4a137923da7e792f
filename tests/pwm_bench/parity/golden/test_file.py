"""Files of the format are read whatever their sizes; others are refused with what is wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.parity.golden.file import BALL, FREE, HINGE, SLIDE, read_golden
from tests.pwm_bench.parity.golden.recordings import GOLDEN, arrays_of, save, shortened, with_meta


def test_joints_are_the_moving_ones_in_order():
    anymal = read_golden(GOLDEN / "anymal.npz")
    assert [joint.kind for joint in anymal.joints] == [FREE] + [HINGE] * 12
    assert [(joint.q.start, joint.qd.start) for joint in anymal.joints] == [(0, 0)] + [
        (7 + n, 6 + n) for n in range(12)
    ]
    assert [joint.name for joint in anymal.joints][1] == anymal.meta["q_names"][7]
    snu = read_golden(GOLDEN / "snu.npz")
    assert [joint.kind for joint in snu.joints][:4] == [FREE, BALL, HINGE, BALL]
    assert (snu.joints[-1].q.stop, snu.joints[-1].qd.stop) == (29, 24)
    hopper = read_golden(GOLDEN / "hopper.npz")
    assert [joint.kind for joint in hopper.joints] == [SLIDE, SLIDE, HINGE, HINGE, HINGE, HINGE]
    assert hopper.digest == hashlib.sha256((GOLDEN / "hopper.npz").read_bytes()).hexdigest()


def test_the_block_of_actions_does_not_count():
    ant, hopper = (read_golden(GOLDEN / f"{name}.npz") for name in ("ant", "hopper"))
    assert ant.observed.tolist() == [True] * 29 + [False] * 8
    assert hopper.observed.all()


@pytest.mark.parametrize(
    ("task", "index", "name"),
    [
        ("ant", 6, "entry 6 (linear velocity of the root frame's origin, world axes)"),
        ("ant", 12, "entry 12 (joint coordinates, ankle_1)"),
        ("ant", 26, "entry 26 (joint velocities, scaled, ankle_4)"),
        ("ant", 28, "entry 28 (heading)"),
        ("hopper", 1, "entry 1 (joint coordinates 1..5, rooty)"),
        ("hopper", 6, "entry 6 (all joint velocities, rootz)"),
    ],
)
def test_entries_of_observations_have_names(task: str, index: int, name: str):
    assert read_golden(GOLDEN / f"{task}.npz").observation_name(index) == name


def test_other_lengths_and_worlds(tmp_path: Path):
    """A shorter recording of two of the worlds, in other words any file of the format."""
    arrays = {
        name: array[:, :2]
        if array.ndim > 1 and array.shape[1] == 4 and not name.startswith(("model_", "fd_"))
        else array
        for name, array in shortened(arrays_of("hopper"), 9).items()
    }
    golden = read_golden(save(tmp_path / "short.npz", arrays))
    assert (golden.steps, golden.worlds, golden.horizon) == (9, 2, 8)
    with pytest.raises(UsageError, match="array 'gradient_H8' is over 8 control steps, of which 7 are recorded"):
        read_golden(save(tmp_path / "shorter.npz", shortened(arrays_of("hopper"), 7)))


def test_states_in_double_precision():
    arrays = arrays_of("hopper")
    golden = read_golden(GOLDEN / "hopper.npz")
    assert np.array_equal(golden.double("joint_q"), arrays["joint_q_f64"])


def test_a_file_that_is_float64_itself(tmp_path: Path):
    arrays = arrays_of("hopper")
    for name in ("joint_q", "joint_qd"):
        arrays[name] = arrays.pop(f"{name}_f64")
    golden = read_golden(save(tmp_path / "double.npz", arrays))
    assert golden.double("joint_q") is golden.arrays["joint_q"]
    single = arrays | {name: arrays[name].astype(np.float32) for name in ("joint_q", "joint_qd")}
    assert read_golden(save(tmp_path / "single.npz", single)).double("joint_q") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joint_qd": None}, "has no array 'joint_qd'"),
        ({"model_body_mass": None}, "has no array 'model_body_mass'"),
        ({"joint_q": np.zeros((101, 4, 5))}, r"array 'joint_q' has shape (101, 4, 5), not (any, any, 6)"),
        ({"joint_q_f64": np.zeros((101, 3, 6))}, r"array 'joint_q_f64' has shape (101, 3, 6), not (101, 4, 6)"),
        ({"obs": np.float32(3.0)}, "array 'obs' has shape (), not (any, any, any)"),
        ({"reward": np.zeros(100)}, "array 'reward' has shape (100,), not (100, 4)"),
        ({"actions": np.full((100, 4, 3), np.nan)}, "'actions' has entries that are not finite"),
        ({"model_joint_type": np.array([0, 0, 1, 1, 1, 7])}, "'model_joint_type' has 7, which is no kind of joint"),
        ({"model_joint_parent": np.array([-1, 0, 3, 2, 3, 4])}, "'model_joint_parent' puts link 2 before its parent"),
        ({"model_body_mass": np.ones(5)}, "'model_body_mass' has 5 rows for 6 joints"),
        ({"obs": np.zeros((101, 4, 11), complex)}, "array 'obs' is of type complex128, not numbers or text"),
        ({"model_contact_body": np.arange(8)}, "array 'model_contact_body' is not a list of whole numbers from 0 to 5"),
        (
            {"model_contact_shape": np.zeros(8)},
            "'model_contact_shape' is not a list of whole numbers from 0 to 3",
        ),
        ({"model_muscle_start": np.zeros(4, int)}, "has no array 'model_muscle_links' beside 'model_muscle_start'"),
        ({"meta": np.array("not json")}, "'meta' is not JSON"),
        ({"meta": np.array("[1]")}, "'meta' is not a JSON object"),
    ],
)
def test_misshapen_files_are_refused(change, message, tmp_path: Path):
    arrays = arrays_of("hopper") | change
    path = save(tmp_path / "bad.npz", {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UsageError) as error:
        read_golden(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "docs/parity.md" in str(error.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"substeps": None}, "'meta' has no entry 'substeps'"),
        ({"substeps": 0}, "'meta' has substeps = 0, not a positive number"),
        ({"substep_dt_used": "1e-3"}, "'meta' has substep_dt_used = '1e-3', not a positive number"),
        ({"observation": {"layout": [{"range": [0, 99], "expr": "q", "name": "x"}]}}, "no usable observation.layout"),
        ({"control": {"dofs": [3, 4, 9], "strength": [1, 1, 1]}}, "no usable control of 3 actions"),
        ({"control": {"strength": [1, 1, 1]}}, "no usable control of 3 actions"),
        ({"qd_names": ["rootx"]}, "no 6 entries in 'qd_names'"),
        ({"observation": {"layout": [{"range": [0, 5]}]}}, "no usable observation.layout"),
    ],
)
def test_misshapen_meta_is_refused(entries, message, tmp_path: Path):
    path = save(tmp_path / "bad.npz", with_meta(arrays_of("hopper"), **entries))
    with pytest.raises(UsageError, match=message.split("'1e-3'")[0].replace(".", r"\.")):
        read_golden(path)


class _Trap:
    """Unpickling an instance creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_nothing_in_a_file_is_run(tmp_path: Path):
    trap = tmp_path / "sprung"
    arrays = arrays_of("hopper")
    path = tmp_path / "trap.npz"
    np.savez(path, **(arrays | {"obs": np.array([_Trap(trap)], dtype=object)}))
    with pytest.raises(UsageError, match="damaged, or not arrays of numbers"):
        read_golden(path)
    assert not trap.exists()


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read"):
        read_golden(tmp_path / "absent.npz")
    text = tmp_path / "text.npz"
    text.write_text("joint_q")
    with pytest.raises(UsageError, match=r"not an \.npz archive"):
        read_golden(text)
    cut = tmp_path / "cut.npz"
    content = bytearray((GOLDEN / "cartpole.npz").read_bytes())
    content[2000:3000] = bytes(1000)
    cut.write_bytes(content)
    with pytest.raises(UsageError, match="damaged"):
        read_golden(cut)
