"""Training a learner online, wherever it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pwm_bench.envs.api import DifferentiableEnv
from pwm_bench.envs.suites.single import SuiteTaskEnv
from pwm_bench.jobs.evaluation import Evaluator
from pwm_bench.jobs.learner_job import LearnerJob
from pwm_bench.jobs.policies import POLICY, PolicyFile, Trains, save_policy
from pwm_bench.learning.choices import GradientSource
from pwm_bench.learning.learner import acting
from pwm_bench.runs.job import EvaluationResult, file_artifact
from pwm_bench.store.schema import Artifact, RunRecord, Schedule

__all__ = ["OnlineJob"]


class OnlineJob(LearnerJob):
    """A learner of one task with worlds to learn in and others to be evaluated in.

    Attributes:
        spec: what is trained, where.
        env: the worlds that it learns in.
        evaluator: plays evaluations.
        gradient_source: where the policy's gradient comes from.
        scheduled: whether learning rates change over the budget.
    """

    spec: Trains
    env: DifferentiableEnv | SuiteTaskEnv
    evaluator: Evaluator
    gradient_source: GradientSource
    scheduled: bool

    def describe(self, record: RunRecord) -> None:
        """Notes where the policy's gradient comes from, and what learning rates change over."""
        super().describe(record)
        record.gradient_source = self.gradient_source
        record.schedule = Schedule(unit="env_steps", length=self.budget.total) if self.scheduled else None

    def evaluate(self, stop: Callable[[], bool]) -> EvaluationResult | None:
        """Plays episodes with the deterministic policy."""
        return self.evaluator(acting(self.learner), stop=stop)

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """The policies of all members, for evaluations, bridges and exports, see `pwm_bench.jobs.policies`; and what
        else the learner leaves."""
        found = dict(super().artifacts(folder))
        policy = getattr(self.learner, "policy", None)  # one from outside may say nothing of it
        if policy is not None:
            save_policy(folder / POLICY, policy, self.about_policy())
            found["policy"] = file_artifact(folder, POLICY)
        return found

    def about_policy(self) -> PolicyFile:
        """What trains the policies, where."""
        return PolicyFile.of(self.spec, self.env, self.gradient_source)

    def close(self) -> None:
        """Ends the processes of a suite's worlds."""
        if isinstance(self.env, SuiteTaskEnv):
            self.env.close()
        self.evaluator.close()
