"""Training a learner, whatever it learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from pwm_bench.learning.graphed import Graphed
from pwm_bench.learning.learner import Learner
from pwm_bench.runs.job import Job, file_artifact
from pwm_bench.store.schema import Artifact, Counts, RunRecord

__all__ = ["LearnerJob"]


class LearnerJob(Job):
    """A job whose pieces are a learner's updates.

    Attributes:
        learner: set by the subclass.
        graphs: carries its updates out as CUDA graphs, where that is so.
    """

    learner: Learner
    graphs: Graphed | None = None

    def counts(self) -> Counts:
        """The learner's counters."""
        return Counts(**asdict(self.learner.counters))

    @property
    def alive(self) -> Tensor | None:
        """Which members have not diverged."""
        return self.learner.alive

    def advance(self) -> Mapping[str, Tensor]:
        """One update of the learner."""
        return self.learner.update() if self.graphs is None else self.graphs.update()

    def describe(self, record: RunRecord) -> None:
        """Notes whether updates are launched as CUDA graphs."""
        record.details["graphed"] = self.graphs is not None and not self.graphs.refused

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """What the learner leaves beside its policy, see `pwm_bench.learning.learner.OnlineLearner`."""
        write = getattr(self.learner, "write_artifacts", None)  # most leave nothing more
        return {name: file_artifact(folder, file) for name, file in (write(folder) if write else {}).items()}

    def state_dict(self) -> dict[str, Any]:
        """The learner's."""
        return self.learner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the learner."""
        self.learner.load_state_dict(dict(state))
        if self.graphs is not None:
            self.graphs.forget()
