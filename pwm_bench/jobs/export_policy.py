"""A trained policy for use without this package: TorchScript or ONNX, with its normaliser, checked against itself.

Both take ``obs``, float32 ``(N, observation_dim)``, as the task observes, and give ``action``, float32
``(N, action_dim)`` in [-1, 1], for any N.
"""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pwm_bench import configs
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.jobs.policies import PolicyFile
from pwm_bench.learning.acting import Policy
from pwm_bench.learning.elementwise import torch_alone
from pwm_bench.store.files import replacing, write_atomic
from pwm_bench.store.inputs import content_digest
from pwm_bench.store.seal import seal

__all__ = ["FORMATS", "TOLERANCE", "export_policy", "format_of"]

FORMATS = {"torchscript": ".pt", "onnx": ".onnx"}
"""Format -> ending of its file."""
TOLERANCE = 1e-6
"""How far an exported action may be from the policy's."""
_BATCH, _CHECKED, _OPSET = 8, 1021, 17
_ROUNDINGS = 4.0  # times the policy's own rounding, where that is more than the tolerance


class _Alone(nn.Module):
    """A single member's policy without the members' axis."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, obs: Tensor) -> Tensor:
        return self.policy(obs.unsqueeze(0)).squeeze(0)


def format_of(path: Path) -> str:
    """The format that a file's ending stands for.

    Raises:
        UsageError: it stands for none.
    """
    for name, ending in FORMATS.items():
        if path.suffix == ending:
            return name
    raise UsageError(f"{path}: must end in {' or '.join(f'{e} ({n})' for n, e in FORMATS.items())}")


def export_policy(policy: Policy, about: PolicyFile, path: Path, *, format: str | None = None) -> float:
    """Writes a policy of one member, and beside it a JSON file that says what it is, with the file's SHA-256.

    It computes in float32, also where the policy was trained in reduced precision.

    Args:
        policy: of one member.
        about: what it is.
        path: the file.
        format: one of `FORMATS`; by the file's ending if it is not given.

    Returns:
        the largest difference between an exported action and the policy's, on random observations.

    Raises:
        UsageError: no such format, it needs a package that is not installed, the file cannot be written, or what was
            exported acts otherwise; the file is not there then.
    """
    format = format_of(path) if format is None else format
    if format not in FORMATS:
        raise unknown("format of a policy", format, FORMATS)
    absent = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if format == "onnx" and absent:
        raise UsageError(f"format onnx: needs {absent[0]}: pip install 'pwm-bench[export]', or export torchscript")
    plain = copy.deepcopy(policy).cpu().float().eval()
    plain.precision = "float32"
    module = _Alone(plain)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, suffix=path.suffix) as made:
            _write(module, about, made, format)
            difference, allowed = _compare(module, about, _open(made, format))
            if not difference <= allowed:
                raise UsageError(
                    f"{path}: the exported policy's actions differ by {difference:.2g} from the original's, and "
                    f"{allowed:.2g} is allowed; try another version of torch or the other format"
                )
            digest = content_digest(made)
        said = {
            "format": format,
            "input": {"name": "obs", "shape": ["N", about.observation_dim], "type": "float32"},
            "output": {"name": "action", "shape": ["N", about.action_dim], "type": "float32", "range": [-1, 1]},
            "largest_difference": difference,
            "digest": digest,
            **{name: value for name, value in configs.to_json(about).items() if name != "config"},
        }
        write_atomic(path.with_suffix(".json"), seal(said, indent=2))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
    return difference


def _write(module: _Alone, about: PolicyFile, path: Path, format: str) -> None:
    example = torch.zeros(_BATCH, about.observation_dim)
    with torch_alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tracing follows one way through the code, which is the only one here
        if format == "torchscript":
            torch.jit.save(torch.jit.trace(module, (example,), check_trace=False), str(path))
            return
        torch.onnx.export(
            module, (example,), str(path), input_names=["obs"], output_names=["action"], opset_version=_OPSET,
            dynamic_axes={"obs": {0: "N"}, "action": {0: "N"}},
            dynamo=False,  # the newer exporter gives the same graph, needs two packages more and takes ten times longer
        )  # fmt: skip


def _open(path: Path, format: str) -> Callable[[Tensor], Tensor]:
    if format == "torchscript":
        script = torch.jit.load(str(path))
        return lambda obs: script(obs)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda obs: torch.from_numpy(session.run(["action"], {"obs": obs.numpy()})[0])


def _compare(module: _Alone, about: PolicyFile, exported: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """The largest difference on random observations, and what is allowed: float32 itself rounds."""
    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(_CHECKED, about.observation_dim, generator=generator)
    norm = module.policy.observations
    if norm is not None:  # such as the policy has seen
        obs = norm.mean[0].float() + obs * norm.std[0]
    with torch.no_grad():
        original = module(obs)
        parts = torch.cat([exported(obs[:1]), exported(obs[1:8]), exported(obs[8:])])
        exact = copy.deepcopy(module).double()(obs.double())
    own = float((original - exact).abs().max())
    return float((parts - original).abs().max()), max(TOLERANCE, _ROUNDINGS * own)
