"""Where numbers come from: code, packages and machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from pwm_bench.records.schema import Provenance

__all__ = ["PACKAGES", "collect", "device_name", "git_state", "gpu_driver", "package_versions", "processor_name"]

PACKAGES = ("pwm-bench", "torch", "warp-lang", "mujoco", "mujoco-mjx", "jax", "jaxlib", "numpy", "safetensors")
"""Distributions whose versions can change numbers."""


def collect(device: str, precision: str) -> Provenance:
    """Gathers everything about this process.

    Args:
        device: torch device that computes, e.g. ``"cpu"`` or ``"cuda:0"``.
        precision: arithmetic of the learner.
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
    )


def git_state(folder: Path) -> tuple[str | None, str | None]:
    """The commit of the code in ``folder`` and a hash of its uncommitted changes, each None where there is none.

    An installed copy that merely sits inside somebody's repository (a virtual environment, say) does not count.
    """

    def git(*arguments: str) -> bytes | None:
        command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=20)
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
    for name in sorted(filter(None, added)):
        digest.update(name + b"\0" + (top / os.fsdecode(name)).read_bytes())
    clean = not changes and not any(added)
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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
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
