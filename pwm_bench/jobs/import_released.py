"""Bringing in what other programs have trained: TD-MPC2's world models, and agents of PWM's released code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from pwm_bench import configs, envs
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.policies import POLICY, PolicyFile, save_policy
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.normalise import RunningNorm
from pwm_bench.pwm.config import Config
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.files import POLICIES, acting_extractor, save_policies
from pwm_bench.pwm.model_files import MODEL_FILE, write_models
from pwm_bench.pwm.networks import policy_of
from pwm_bench.pwm.released import Agent, is_agent, is_multitask, read_agent, read_world_model
from pwm_bench.runs.job import Budget, Job, file_artifact
from pwm_bench.store.inputs import Input, Pending, content_digest
from pwm_bench.store.schema import Artifact, Counts, RunRecord
from pwm_bench.store.spec import Spec
from pwm_bench.world_model.inert import load_inert
from pwm_bench.world_model.multitask.config import described
from pwm_bench.world_model.multitask.files import save_model
from pwm_bench.world_model.multitask.networks import MultitaskModel
from pwm_bench.world_model.multitask.tdmpc2_config import Told
from pwm_bench.world_model.multitask.tdmpc2_format import from_tdmpc2
from pwm_bench.world_model.trained import select_member

__all__ = ["ImportJob", "ImportSpec"]

_MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class ImportSpec(Spec):
    """A checkpoint, and what it does not say of itself.

    Raises:
        UsageError: an impossible value.
    """

    kind: ClassVar[str] = "import"
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)
    """``checkpoint``: a file of TD-MPC2, or of PWM's ``agent.save``."""
    tasks: tuple[str, ...] = ()
    """See `pwm_bench.world_model.multitask.tdmpc2_config.Told`; empty for what the file says."""
    log_std: tuple[float, float] | None = None
    """See there."""
    value_limit: float | None = None
    """See there."""
    task: str = ""
    """What an agent's policy was trained for; empty for a file without a policy of its own."""
    simulator: str = ""
    """Where the policy of an agent of one task acts unless another place is named; empty for others."""
    device: str = "cpu"
    study: str = "import"

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        if self.log_std is not None:
            object.__setattr__(self, "log_std", tuple(self.log_std))
        if set(self.inputs) != {"checkpoint"}:
            raise UsageError(f"inputs={sorted(self.inputs)}: must be 'checkpoint', the file of another program")
        self.check_place(self.device)

    @property
    def label(self) -> str:
        """What a person calls the run."""
        return f"import{f' · {self.task}' if self.task else ''}"


class ImportJob(Job):
    """The content of a checkpoint. Nothing in the file is run.

    The run leaves the artifact ``model``: of several tasks a folder, see
    `pwm_bench.world_model.multitask.files.load_model`, of one task a file, see
    `pwm_bench.pwm.model_files.read_model`. An agent of one task also leaves ``policy``, see
    `pwm_bench.jobs.policies`; one of several tasks ``policies``, as an extraction does.

    Args:
        spec: what to read, and how.
        folder: not used.

    Raises:
        UsageError: the file is damaged, of another program or has changed; or what it does not say is missing.
    """

    spec_class = ImportSpec
    reports = 0
    device = torch.device("cpu")

    def __init__(self, spec: ImportSpec, folder: Path | None = None) -> None:
        path = spec.open_input("checkpoint")
        content = load_inert(path, what="a checkpoint of TD-MPC2 or PWM", remedy="fetch it again", packages=("pwm",))
        if not isinstance(content, Mapping):
            raise UsageError(f"{path}: holds a {type(content).__name__} and no named weights; give a checkpoint")
        self._spec, source = spec, str(path)
        told = Told(tasks=spec.tasks or None, log_std=spec.log_std, value_limit=spec.value_limit)
        self.budget = Budget(unit="iterations", total=1)
        self._details: dict[str, Any] = {}
        self._write: Callable[[Path], dict[str, Path]]
        if not is_agent(content):
            if spec.task:
                raise UsageError(f"{path}: holds no policy that was trained for one task alone; leave --task out")
            self._write = self._of_model(from_tdmpc2(content, source, told))
            return
        if not spec.task:
            raise UsageError(f"{path}: an agent of PWM's, which does not say what for: give --task NAME")
        agent = read_agent(content, source)
        if is_multitask(content):
            self._write = self._of_multitask(
                agent, from_tdmpc2({"model": content["world_model"]}, source, told), source
            )
        else:
            for option, value in (("--tasks", spec.tasks), ("--log-std", spec.log_std)):
                if value:
                    raise UsageError(f"{option}: {path} is an agent of one task, which has no such thing; leave it out")
            self._write = self._of_one_task(agent, content, source)

    def counts(self) -> Counts:
        """Nothing is trained."""
        return Counts()

    def describe(self, record: RunRecord) -> None:
        """Notes what the model is."""
        record.details |= self._details

    def advance(self) -> Mapping[str, Tensor]:
        """Everything was read at the beginning."""
        return {}

    def artifacts(self, folder: Path) -> Mapping[str, Artifact]:
        """Writes the model and the policy."""
        return {
            name: file_artifact(folder, str(file.relative_to(folder))) for name, file in self._write(folder).items()
        }

    def _of_model(self, model: MultitaskModel) -> Callable[[Path], dict[str, Path]]:
        self._details = {"model": described(model.config)}

        def write(folder: Path) -> dict[str, Path]:
            save_model(folder / _MODEL, model)
            return {"model": folder / _MODEL}

        return write

    def _of_multitask(self, agent: Agent, model: MultitaskModel, source: str) -> Callable[[Path], dict[str, Path]]:
        sizes = (model.config.latent_dim, model.config.action_dim)
        if sizes != (agent.latent_dim, agent.action_dim):
            raise UsageError(
                f"{source}: its actor takes latents of {agent.latent_dim} and gives actions of {agent.action_dim}, its "
                f"world model has {sizes[0]} and {sizes[1]}; the file is damaged"
            )
        config = ExtractionConfig(
            hidden_actor=agent.hidden_actor,
            hidden_critic=agent.hidden_critic,
            critic_ensemble=agent.critic_ensemble,
        )
        experts = acting_extractor(model, (Expert(self._spec.task, 0),), config)
        experts.policy.actor.load_state_dict(agent.actor.state_dict())
        experts.policy.critic.load_state_dict(agent.critic.state_dict())
        write_model_folder = self._of_model(model)

        def write(folder: Path) -> dict[str, Path]:
            files = write_model_folder(folder)
            save_policies(folder / POLICIES, experts, model_digest=content_digest(files["model"]))
            return files | {"policies": folder / POLICIES}

        return write

    def _of_one_task(self, agent: Agent, content: Mapping[str, Any], source: str) -> Callable[[Path], dict[str, Path]]:
        spec = self._spec
        envs.TASKS.check(spec.task)
        envs.SIMULATORS.check(spec.simulator)
        model, config = read_world_model(content, agent, source)
        norm = RunningNorm(1, 1)
        if agent.rewards is not None:
            norm.load_state_dict(
                {
                    "mean": agent.rewards.mean.view(1, 1),
                    "var": agent.rewards.var.view(1, 1),
                    "count": torch.tensor([agent.rewards.count], dtype=torch.float64),
                }
            )
        settings = Config(
            world_model=config,
            hidden_actor=agent.hidden_actor,
            hidden_critic=agent.hidden_critic,
            critic_ensemble=agent.critic_ensemble,
        )
        trained = select_member(model, norm, config, 0, {"imported": "PWM", "task": spec.task})
        about = PolicyFile(
            algorithm="pwm",
            config=configs.to_json(settings),
            task=spec.task,
            simulator=spec.simulator,
            seeds=(0,),
            observation_dim=next(model.encoder.parameters()).shape[1],
            action_dim=agent.action_dim,
            gradient_source="learned",
        )
        policy = policy_of(settings, model, agent.actor)
        self._details = {"model": configs.to_json(config), "program": "PWM"}

        def write(folder: Path) -> dict[str, Path]:
            write_models(folder / MODEL_FILE, [trained], critic=agent.critic, config=settings)
            save_policy(folder / POLICY, policy, about)
            return {"model": folder / MODEL_FILE, "policy": folder / POLICY}

        return write
