"""``pwm-bench extract``: a policy for every task of a multi-task world model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from envs.errors import UsageError
from pwm_bench.commands.options import Device, ResultsFolder, default_results, option

if TYPE_CHECKING:
    from pwm_bench.world_model.dataset import Dataset
    from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["Extract"]


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Train PWM policies for the tasks of a frozen world model, all together, or go on with what was cut off.

    Examples:
      pwm-bench extract models/three data/three
      pwm-bench extract mt30-48M.pt data/mt30 --tasks walker-run cheetah-run --precision bfloat16
    """

    model: Annotated[Path, tyro.conf.Positional, option("MODEL")]
    """Folder of `pwm-bench pretrain`, or a TD-MPC2 checkpoint (.pt)."""
    data: Annotated[Path, tyro.conf.Positional, option("DATA")]
    """Dataset whose observations imagined rollouts start from."""
    tasks: Annotated[tuple[str, ...], option("TASK ..", "all that model and data share")] = ()
    """Tasks or a suite (mt30, mt80, mw50)."""
    seeds: Annotated[int, option("N", "1")] = 1
    """Policies for each task."""
    variant: Annotated[str, option("NAME", "paper")] = "paper"
    """paper, or released for what the released code computes."""
    iterations: Annotated[float | None, option("N", "10000")] = None
    """Actor steps."""
    precision: Annotated[str, option("NAME", "float32")] = "float32"
    """float32, or bfloat16 for matrix products."""
    set: Annotated[tuple[str, ...], option("KEY=VALUE"), tyro.conf.UseAppendAction] = ()
    """Change a setting, e.g. batch_size=128; may be given again."""
    evaluations: Annotated[int, option("N", "6")] = 6
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
        """Extracts."""
        from envs.suites import SUITES
        from pwm_bench import configs
        from pwm_bench.commands.offline import carry_out
        from pwm_bench.commands.options import resolve_device
        from pwm_bench.pwm.extraction.config import variant
        from pwm_bench.pwm.extraction.starts import DatasetStarts
        from pwm_bench.pwm.extraction.train import Extractor
        from pwm_bench.records.store import Results
        from pwm_bench.runner.offline_spec import ExtractionSpec, model_digest
        from pwm_bench.world_model.dataset import Dataset
        from pwm_bench.world_model.multitask.files import load_model

        if self.seeds < 1:
            raise UsageError(f"--seeds {self.seeds}: must be at least 1")
        results = Results(self.results)
        results.check_writable()
        device = resolve_device(self.device)
        changes = dict(map(configs.parse_assignment, self.set))
        if self.iterations is not None:
            changes["iterations"] = int(self.iterations)
        base = variant(self.variant, precision=self.precision)
        config = configs.override(base, changes, where="extraction settings")
        data = Dataset(self.data)
        asked = [name for task in self.tasks for name in SUITES.get(task, (task,))]
        model = _load(load_model, self.model, data, device)
        if data.action_dim > model.config.action_dim or data.obs_dim > model.config.observation_dim:
            raise UsageError(
                f"{self.data}: observations and actions of sizes {data.obs_dim} and {data.action_dim}, but the world "
                f"model takes {model.config.observation_dim} and {model.config.action_dim} at most; use its own data"
            )
        tasks = tuple(asked) or tuple(name for name in model.config.tasks if name in data.names)
        label = self.tasks[0] if len(self.tasks) == 1 else "multitask"
        spec = ExtractionSpec(
            model=str(self.model),
            model_digest=model_digest(model),
            data=str(self.data),
            data_digest=data.digest,
            tasks=tasks,
            config=config,
            seeds=tuple(range(self.seeds)),
            evaluations=self.evaluations,
            evaluation_episodes=self.evaluation_episodes,
            study=self.study,
            label=label,
        )
        experts = spec.experts
        starts = DatasetStarts(data, [expert.task for expert in experts])
        extractor = Extractor(model, experts, config, starts=starts)
        return carry_out(
            spec, extractor, results, workers=self.workers, device=device, checkpoint_seconds=self.checkpoint_seconds
        )


def _load(load_model: Any, path: Path, data: Dataset, device: Any) -> MultitaskModel:
    """A TD-MPC2 checkpoint names no tasks: those of the data, if they are as many, else of MT30 or MT80."""
    if path.suffix != ".pt":
        return load_model(path, device=device)
    try:
        return load_model(path, tasks=data.names, device=device)
    except UsageError as error:
        if "tasks were named" not in str(error):
            raise
        return load_model(path, device=device)
