"""Work about gradients, comparisons of estimators and problems that are none: each leaves ``gradients.parquet``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients.comparison import ComparisonWork
from pwm_bench.gradients.keeping import ProblemSpec, Work
from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec, BallWallWork
from pwm_bench.gradients.pedagogical.pendulum import PendulumSpec, PendulumWork
from pwm_bench.gradients.rows import FILE, write_table
from pwm_bench.gradients.slices import SliceSpec, SliceWork
from pwm_bench.gradients.spec import POLICY, Comparison
from pwm_bench.gradients.starts import Act
from pwm_bench.jobs.policies import PolicyFile, load_policy, read_policy
from pwm_bench.runs.job import Budget, Job, file_artifact
from pwm_bench.store.schema import Artifact, Counts, RunRecord

__all__ = ["BallWallJob", "ComparisonJob", "LandscapeJob", "PendulumJob", "PiecesJob"]


class PiecesJob(Job):
    """Work in pieces; an `advance` does one of them.

    Args:
        spec: says where it computes.
        make: makes the work, given the device.
        precision: of its numbers.

    Raises:
        UsageError: the device is absent, or the work refuses the spec.
    """

    def __init__(
        self, spec: Comparison | ProblemSpec, make: Callable[[torch.device], Work], precision: str = "float64"
    ) -> None:
        self.device = envs.resolve_device(spec.device, *spec.computing_simulators)
        self.precision = precision
        self.work = make(self.device)
        self.work.ledger.tell = lambda piece, done, total: self.told(piece, done, total)
        self.budget = Budget(unit="iterations", total=len(self.work.pieces))
        self._done = 0

    def compile(self) -> None:
        """Compiles what the work needs."""
        self.work.compile()

    @property
    def compile_seconds(self) -> float:
        """Time spent compiling so far [s]."""
        return self.work.compile_seconds

    def describe(self, record: RunRecord) -> None:
        """Notes world models and the like, and what each piece took [s]."""
        seconds = {name: round(value, 3) for name, value in self.work.ledger.clocks.items()}
        record.details |= {**self.work.details(), "seconds": seconds}

    def counts(self) -> Counts:
        """Pieces done."""
        return Counts(iterations=self._done)

    def advance(self) -> Mapping[str, Tensor]:
        """Does the next piece."""
        name = list(self.work.pieces)[self._done]
        self.told(name, 0, 1)
        self.work.do(name)
        self._done += 1
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What was found so far."""
        return {"done": self._done, "work": self.work.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to where `state_dict` was called."""
        self._done = state["done"]
        self.work.load_state_dict(state["work"])

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """Writes the rows."""
        write_table(folder / FILE, self.work.ledger.rows)
        return {"gradients": file_artifact(folder, FILE)}


class ComparisonJob(PiecesJob):
    """A comparison of estimators."""

    spec_class = Comparison

    def __init__(self, spec: Comparison, folder: Path | None = None) -> None:
        self._policy: PolicyFile | None = None
        super().__init__(spec, lambda device: ComparisonWork(spec, device, self._act(spec, device)), spec.precision)

    def describe(self, record: RunRecord) -> None:
        """Notes besides which policy's states and actions they are."""
        super().describe(record)
        if self._policy is not None:
            about = self._policy
            record.details["policy"] = {
                "algorithm": about.algorithm, "simulator": about.simulator, "seed": about.seeds[0],
            }  # fmt: skip

    def _act(self, spec: Comparison, device: torch.device) -> Act | None:
        """The trained policy that the spec reads, if any."""
        if POLICY not in spec.inputs:
            return None
        path = spec.open_input(POLICY)
        about = read_policy(path)
        if about.task != spec.task:
            raise UsageError(f"{path}: policies of task '{about.task}', not '{spec.task}'; give a run of that task")
        if spec.policy_member >= len(about.seeds):
            raise UsageError(
                f"policy_member={spec.policy_member}: {path} has members 0 to {len(about.seeds) - 1}; name one of them"
            )
        self._policy, policy = load_policy(path, members=[spec.policy_member], device=device)
        dtype = next(policy.parameters()).dtype

        def act(obs: Tensor) -> Tensor:
            found: Tensor = policy(obs.to(dtype).unsqueeze(0)).squeeze(0)
            return found.to(obs.dtype)

        return act


class LandscapeJob(PiecesJob):
    """Slices of the return."""

    spec_class = SliceSpec

    def __init__(self, spec: SliceSpec, folder: Path | None = None) -> None:
        super().__init__(spec, lambda device: SliceWork(spec, device))


class BallWallJob(PiecesJob):
    """The toy problem with a jump."""

    spec_class = BallWallSpec

    def __init__(self, spec: BallWallSpec, folder: Path | None = None) -> None:
        super().__init__(spec, lambda device: BallWallWork(spec, device))


class PendulumJob(PiecesJob):
    """The chaotic toy problem."""

    spec_class = PendulumSpec

    def __init__(self, spec: PendulumSpec, folder: Path | None = None) -> None:
        super().__init__(spec, lambda device: PendulumWork(spec, device))
