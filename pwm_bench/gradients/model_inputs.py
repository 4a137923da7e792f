"""World models among the inputs of a spec: one for all simulators, or one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.pwm.model_files import read_model
from pwm_bench.store.inputs import Input, Pending
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.trained import TrainedModel

__all__ = ["MODEL", "check_models", "model_input", "open_model"]

MODEL = "model"
"""The input that is one world model, such as that of a PWM run, for all simulators; see also `model_input`."""


def model_input(simulator: str) -> str:
    """The input that is the world model trained in a simulator, which serves that simulator alone."""
    return f"{MODEL}.{simulator}"


def check_models(
    inputs: Mapping[str, Input | Pending], simulators: Sequence[str], *, others: Sequence[str] = ()
) -> None:
    """Checks that inputs are no world model, one for all simulators, or one for each.

    Args:
        inputs: those that are world models, or unknown.
        simulators: in which they are used.
        others: inputs that are something else, for the error to suggest.

    Raises:
        UsageError: they are something else.
    """
    own = [model_input(simulator) for simulator in simulators]
    for name in inputs:
        if name not in (MODEL, *own):
            raise unknown("input", name, (MODEL, *own, *others))
    if inputs and set(inputs) not in ({MODEL}, set(own)):
        raise UsageError(f"inputs {sorted(inputs)}: give '{MODEL}', or one for each simulator: {', '.join(own)}")


def open_model(spec: Spec, *, task: str, simulator: str, member: int) -> TrainedModel:
    """The world model that a spec has among its inputs.

    Args:
        spec: its inputs are named as `check_models` wants them.
        task: the model's.
        simulator: in which it is used.
        member: which seed, where it is a PWM run's.

    Raises:
        UsageError: the file has changed, or holds no world model of the task.
    """
    own = model_input(simulator)
    if own in spec.inputs:
        return read_model(spec.open_input(own))
    return read_model(spec.open_input(MODEL), member=member, task=task)
