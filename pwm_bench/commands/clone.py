"""``pwm-bench clone``: behaviour cloning of a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from envs.errors import UsageError
from pwm_bench.commands.options import Device, ResultsFolder, default_results, option

__all__ = ["Clone"]


@dataclass(frozen=True, kw_only=True)
class Clone:
    """Imitate the actions of a dataset, a policy for each task, all together: what extraction has to beat.

    Examples:
      pwm-bench clone data/three
      pwm-bench clone data/three --best 0.1 --study three
    """

    data: Annotated[Path, tyro.conf.Positional, option("DATA")]
    """Folder of a dataset; see `pwm-bench collect`."""
    tasks: Annotated[tuple[str, ...], option("TASK ..", "all of the data")] = ()
    """Tasks or a suite (mt30, mt80, mw50)."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Policies for each task."""
    best: Annotated[float, option("SHARE", "1")] = 1.0
    """Imitate only this share of each task's episodes, those with the highest returns."""
    iterations: Annotated[float | None, option("N", "10000")] = None
    """Gradient steps."""
    set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a setting, e.g. batch_size=64; may be given again."""
    evaluations: Annotated[int, option("N", "2")] = 2
    """Evaluations from the untrained to the final policy, both included."""
    evaluation_episodes: Annotated[int, option("N", "10")] = 10
    """Episodes per policy in each."""
    workers: Annotated[int | None, option("N", "one a processor")] = None
    """Processes that run the real tasks during evaluations."""
    study: Annotated[str, option("NAME", "extract")] = "extract"
    """Folder to file the run under."""
    device: Device = None
    """auto (a GPU where there is one), cpu, cuda or cuda:N."""
    results: ResultsFolder = field(default_factory=default_results)
    """Results folder."""
    checkpoint_seconds: Annotated[float, option("S", "120")] = 120.0
    """Time between two checkpoints."""

    def __call__(self) -> int:
        """Clones."""
        from baselines.bc import Cloner, Config
        from envs.suites import SUITES
        from pwm_bench import configs
        from pwm_bench.commands.offline import carry_out
        from pwm_bench.commands.options import resolve_device
        from pwm_bench.records.store import Results
        from pwm_bench.runner.offline_spec import CloneSpec
        from pwm_bench.world_model.dataset import Dataset

        if self.seeds < 1:
            raise UsageError(f"--seeds {self.seeds}: must be at least 1")
        results = Results(self.results)
        results.check_writable()
        device = resolve_device(self.device)
        changes = dict(map(configs.parse_assignment, self.set))
        if self.iterations is not None:
            changes["iterations"] = int(self.iterations)
        config = configs.override(Config(best=self.best), changes, where="cloning settings")
        data = Dataset(self.data, best=config.best)
        spec = CloneSpec(
            data=str(self.data),
            data_digest=data.digest,
            tasks=tuple(name for task in self.tasks for name in SUITES.get(task, (task,))) or data.names,
            config=config,
            seeds=tuple(range(self.seeds)),
            evaluations=self.evaluations,
            evaluation_episodes=self.evaluation_episodes,
            study=self.study,
            label=self.tasks[0] if len(self.tasks) == 1 else "multitask",
        )
        cloner = Cloner(data, spec.experts, config, device=device)
        return carry_out(
            spec, cloner, results, workers=self.workers, device=device, checkpoint_seconds=self.checkpoint_seconds
        )
