"""World models in files: one safetensors file each, or the checkpoint of a PWM run. Nothing in either is run."""

from __future__ import annotations

from pathlib import Path

from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.learned import TrainedModel, load_run
from pwm_bench.gradients.spec import MODEL, model_input
from pwm_bench.store.spec import Spec
from pwm_bench.store.tensor_file import read_about, read_tensors, write_tensors

__all__ = ["MODEL_FILE", "open_model", "read_model", "run_of", "write_model"]

MODEL_FILE = "model.safetensors"
_ABOUT = "model"


def write_model(path: Path, trained: TrainedModel) -> None:
    """Writes a model into a safetensors file, with everything that is no tensor as JSON in its metadata."""
    state = trained.state_dict()
    write_tensors(path, state.pop("weights"), key=_ABOUT, about=state)


def read_model(path: Path) -> TrainedModel:
    """Reads what `write_model` wrote; nothing in it is run.

    Raises:
        UsageError: it is something else, or damaged.
    """
    try:
        return TrainedModel.from_state(read_about(path, key=_ABOUT) | {"weights": read_tensors(path, key=_ABOUT)})
    except UsageError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, IndexError, OverflowError) as error:
        raise UsageError(
            f"{path}: not a world model of `train-model` ({error}); give the directory of such a run"
        ) from None


def open_model(spec: Spec, *, task: str, simulator: str, member: int) -> TrainedModel:
    """The world model that a spec has among its inputs.

    Args:
        spec: its inputs are named as `pwm_bench.gradients.spec.check_models` wants them.
        task: the model's.
        simulator: in which it is used.
        member: which seed, where it is a PWM run's.

    Raises:
        UsageError: the file has changed, or holds no world model of the task.
    """
    own = model_input(simulator)
    if own in spec.inputs:
        return read_model(spec.open_input(own))
    path = spec.open_input(MODEL)
    if not _is_artifact(path):
        return load_run(path.parents[1], task=task, member=member)
    found = read_model(path)
    if found.description.get("task", task) != task:
        raise UsageError(f"{path}: its world model is of task '{found.description['task']}', not '{task}'")
    if member:
        raise UsageError(f"member={member}: {path} holds one world model; leave the member out")
    return found


def run_of(spec: Spec) -> Path:
    """The directory of the PWM run whose checkpoint is the input ``model``.

    Raises:
        UsageError: the weights have changed, or the input is no checkpoint of a run.
    """
    path = spec.open_input(MODEL)
    if _is_artifact(path):
        raise UsageError(f"{path}: a world model alone, which has no critic; leave the bootstrap out, or fit a value")
    return path.parents[1]


def _is_artifact(path: Path) -> bool:
    """Whether a file is a model by itself and not the checkpoint of a run."""
    if path.is_dir():
        raise UsageError(f"{path}: a world model of several tasks; give one of a single task of the simulators")
    try:
        return read_about(path, key=_ABOUT) is not None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: damaged ({error}); restore it, or train the model again") from None
