"""How many runs this machine carries side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from pwm_bench.envs.cores import usable_cores
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.spec import Spec
from pwm_bench.sweeps.devices import Gpus, gpu_of

__all__ = ["AtOnce", "Capacity", "available_memory"]

_HANDED_OVER = 500
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


class Capacity:
    """Admits runs as long as they find cores and memory; see `pwm_bench.sweeps.sweep.Admission`.

    A run counts as the threads that its work computes with. One that uses all of torch's threads counts as half of
    the cores: beside the parallel operations it works on one. A run on a GPU keeps one core busy, and takes of the
    GPU's memory what finished runs of its sort took there, or else what its spec says. A run with worker processes of
    its own takes the machine for itself.

    Args:
        jobs: so many at most, whatever the cores and a GPU's memory; None goes by these.
        gpus: what stands for a GPU.
        gpu_memory: bytes of a GPU's memory that a run takes, where that is known.

    Raises:
        UsageError: an impossible number.
    """

    def __init__(
        self,
        jobs: int | None = None,
        gpus: Gpus = MappingProxyType({}),
        gpu_memory: Callable[[Spec], int | None] = lambda spec: None,
    ) -> None:
        if jobs is not None and jobs < 1:
            raise UsageError(f"--jobs {jobs}: must be at least 1")
        self.jobs = jobs
        self._gpus, self._gpu_memory = gpus, gpu_memory
        self._cores = usable_cores()

    def __call__(self, spec: Spec, running: Sequence[Spec]) -> bool:
        """Whether a run may begin beside those that are running."""
        if not running:
            return True
        if self.jobs is not None:
            return len(running) < self.jobs and _memory_suffices(spec)
        wanted = sum(self._share(other) for other in (spec, *running))
        return wanted <= self._cores and _memory_suffices(spec) and self._fits_gpu(spec, running)

    def _fits_gpu(self, spec: Spec, running: Sequence[Spec]) -> bool:
        gpu = gpu_of(spec, self._gpus)
        if gpu is None:
            return True
        there = [other for other in running if (found := gpu_of(other, self._gpus)) and found.device == gpu.device]
        return sum(self._gpu_memory(other) or other.gpu_memory for other in (spec, *there)) <= gpu.free

    def _share(self, spec: Spec) -> int:
        if spec.takes_the_machine:
            return self._cores
        if gpu_of(spec, self._gpus) is not None:
            return 1
        threads = spec.cpu_threads
        return max(1, self._cores // 2) if threads is None else threads


class AtOnce:
    """Admits so many runs at once, whatever they need: where a cluster decides when each begins.

    Args:
        number: of runs. Each holds a file open here.

    Raises:
        UsageError: an impossible number.
    """

    def __init__(self, number: int | None = None) -> None:
        if number is not None and number < 1:
            raise UsageError(f"--jobs {number}: must be at least 1")
        self._number = _HANDED_OVER if number is None else number

    def __call__(self, spec: Spec, running: Sequence[Spec]) -> bool:
        """Whether a run may be handed over beside those that are."""
        return len(running) < self._number


def available_memory() -> int | None:
    """Bytes that processes can still take, of the machine and of the control group; None where nobody says."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        (line,) = (x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemAvailable:"))
        found.append(1024 * int(line.split()[1]))
    for limit, usage in _group_files():
        with suppress(OSError, ValueError):  # "max": no limit
            found.append(int(limit.read_text()) - int(usage.read_text()))
    return min(found, default=None)


def _group_files() -> Iterator[tuple[Path, Path]]:
    """Limit and usage of memory: of this process's control group, and of the one that a container takes for the top."""
    groups = [("", "/"), ("memory", "/")]
    with suppress(OSError, ValueError):
        groups += [tuple(line.split(":", 2)[1:]) for line in _OWN_GROUPS.read_text().splitlines()]  # type: ignore[misc]
    for controllers, group in groups:
        if not controllers:  # version 2
            folder = _CGROUPS / group.lstrip("/")
            yield folder / "memory.max", folder / "memory.current"
        elif "memory" in controllers.split(","):
            folder = _CGROUPS / "memory" / group.lstrip("/")
            yield folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes"


def _memory_suffices(spec: Spec) -> bool:
    memory = available_memory()
    return memory is None or memory >= spec.memory
