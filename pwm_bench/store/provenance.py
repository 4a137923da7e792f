"""Where numbers come from: code, packages and machine."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import math
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from pwm_bench.envs.company import shares_process
from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.plugins import distribution_of
from pwm_bench.store.schema import Provenance

__all__ = [
    "PACKAGES",
    "calibrate",
    "code_hash",
    "collect",
    "device_name",
    "git_state",
    "gpu_driver",
    "package_versions",
    "plugin_version",
    "processor_name",
    "source_folders",
]

PACKAGES = ("pwm-bench", "torch", "warp-lang", "mujoco", "mujoco-mjx", "jax", "jaxlib", "numpy", "safetensors")
"""Distributions whose versions can change numbers."""
_SOURCES = (".py", ".xml", ".c", ".cpp")
_CALIBRATION_SIZE, _CALIBRATION_PRODUCTS, _CALIBRATION_TRIES = 256, 20, 3  # some 30 ms a try on one core


def collect(device: str, precision: str, plugins: Iterable[str] = ()) -> Provenance:
    """Gathers everything about this process.

    Args:
        device: torch device that computes, e.g. ``"cpu"`` or ``"cuda:0"``.
        precision: arithmetic of the learner.
        plugins: top-level modules that were loaded from outside, see `pwm_bench.envs.plugins.noting_outsiders`.
    """
    import torch

    commit, dirty = git_state(Path(__file__).resolve().parent)
    return Provenance(
        git_commit=commit,
        git_dirty=dirty,
        packages=package_versions(),
        python=platform.python_version(),
        platform=platform.platform(),
        device=device_name(device),
        processor=processor_name(),
        driver=gpu_driver() if device.startswith("cuda") else None,
        threads=torch.get_num_threads(),
        precision=precision,
        code=code_hash(),
        plugins={module: plugin_version(module) for module in sorted(plugins)},
        calibration_seconds=None if shares_process() else calibrate(),
        shared_process=shares_process(),
    )


@functools.cache
def code_hash() -> str:
    """A hash over the sources of all our packages, 12 hexadecimal digits: the same for a checkout and for a wheel."""
    return _hash_of(source_folders())


@functools.cache
def plugin_version(module: str) -> str:
    """Distribution, version and a hash over the sources of a top-level module, e.g. ``"my-lab 0.3 (1a2b3c4d5e6f)"``.

    Nothing is imported. A module that belongs to no distribution has its hash alone; one that is gone is "missing".
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "missing"
    folders = [Path(folder).resolve() for folder in spec.submodule_search_locations or ()]
    code = _hash_of(folders or [Path(spec.origin or "").resolve()])
    distribution = distribution_of(module)
    return f"{distribution.name} {distribution.version} ({code})" if distribution is not None else code


def _hash_of(places: Sequence[Path]) -> str:
    """A hash over the sources in folders (each with its own files alone), or over single files."""
    digest = hashlib.sha256()
    for place in places:
        inner = [other for other in places if place in other.parents]  # in a wheel two packages lie inside the third
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in (path for path in files if path.suffix in _SOURCES and path.is_file()):
            if any(other in file.parents for other in inner):
                continue
            digest.update(f"{place.name}/{file.relative_to(place).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def source_folders() -> list[Path]:
    """Where our packages lie: one folder in a wheel, three in a checkout. Nothing is imported."""
    names = ("pwm_bench.baselines", "pwm_bench.envs", "pwm_bench")
    found = [importlib.util.find_spec(name) for name in names]
    return [Path(spec.origin).resolve().parent for spec in found if spec is not None and spec.origin is not None]


def calibrate() -> float:
    """Processor seconds of a fixed computation at the present number of threads, the least of a few tries.

    It is products and exponentials of small float32 matrices, as the learners' networks are: what makes processor
    seconds of different machines comparable by eye, and shows where one machine was slower in some runs than in others.
    """
    import torch

    x = torch.linspace(-1.0, 1.0, _CALIBRATION_SIZE**2).view(_CALIBRATION_SIZE, _CALIBRATION_SIZE)
    least = math.inf
    with torch.no_grad():
        for _ in range(_CALIBRATION_TRIES):
            before, y = time.process_time(), x
            for _ in range(_CALIBRATION_PRODUCTS):
                y = torch.exp(-(x @ y).abs())
            least = min(least, time.process_time() - before)
    return least


def git_state(folder: Path) -> tuple[str | None, str | None]:
    """The commit of the code in ``folder`` and a hash of its uncommitted changes, each None where there is none.

    An installed copy that merely sits inside somebody's repository (a virtual environment, say) does not count.
    """

    def git(*arguments: str) -> bytes | None:
        command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=20, start_new_session=True)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None or git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None, None
    top = Path((git("rev-parse", "--show-toplevel") or b".").decode().strip())
    digest = hashlib.sha256()
    changes = git("diff", "HEAD", "--", ":/*.py", ":/*.xml") or b""
    digest.update(changes)
    added = (git("ls-files", "--others", "--exclude-standard", "--full-name", ":/*.py", ":/*.xml") or b"").split(b"\n")
    clean = not changes
    for name in sorted(filter(None, added)):
        try:
            content = (top / os.fsdecode(name)).read_bytes()
        except OSError:  # an editor's lock, which is a link to nowhere, or a file that has gone again
            continue
        digest.update(name + b"\0" + content)
        clean = False
    return commit.decode().strip(), None if clean else digest.hexdigest()[:12]


def package_versions() -> dict[str, str]:
    """Versions of the installed ones among `PACKAGES`."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def processor_name() -> str:
    """The processor's model name and number of cores, e.g. ``"AMD EPYC 7763 (2 cores)"``."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = usable_cores()
    return f"{name} ({cores} core{'s' if cores != 1 else ''})"


def device_name(device: str) -> str:
    """The GPU's name, or the processor's."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return processor_name()


def gpu_driver() -> str | None:
    """Version of the NVIDIA driver, or None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            version = pynvml.nvmlSystemGetDriverVersion()
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # no package, no library, no driver: each raises its own kind
        return None
    return version.decode() if isinstance(version, bytes) else version
