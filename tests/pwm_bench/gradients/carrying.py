"""Comparisons that tests carry out, with the world models that they read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pwm_bench.gradients.models import ModelTraining
from pwm_bench.gradients.rows import FILE
from pwm_bench.gradients.spec import Comparison
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results, RunDirectory
from pwm_bench.store.spec import Spec
from pwm_bench.studies.gradient_study import Draft, model_run
from pwm_bench.sweeps.graph import Study, resolve
from pwm_bench.world_model.config import WorldModelConfig

TINY_MODEL = ModelTraining(
    env_steps=320,
    updates=5,
    num_envs=8,
    config=WorldModelConfig(
        latent_dim=16, encoder_hidden=(8,), dynamics_hidden=(8,), reward_hidden=(8,), horizon=3, batch_size=8
    ),
)
TINY = {"states": 4, "samples": 8, "reference_samples": 16, "horizons": (2, 5), "worlds": 16, "steps": (0.01, 0.1)}


def carry_out_study(study: Study, root: Path) -> dict[str, RunDirectory]:
    """All runs of a study, by name, each carried out once what it reads is there."""
    done: dict[str, RunDirectory] = {}
    for name, pending in study.nodes.items():
        spec = resolve(pending, done)
        assert spec is not None, name
        outcome = carry_out(spec, Results(root))
        assert outcome.record.status == "ok", outcome.record.reason
        done[name] = Results(root).run(spec.study, spec.id)
    return done


def with_models(draft: Draft, root: Path, *, study: str = "single") -> Comparison:
    """The comparison, once the world models that it reads are trained."""
    trainings = {model_run(spec)[0]: spec for spec in draft.models().values()}
    done = carry_out_study(Study(name=study, description="", nodes=trainings), root)
    found = resolve(draft.replace(study=study).comparison(), done)
    assert found is not None
    return found


def measured(spec: Spec, root: Path) -> pd.DataFrame:
    """The rows of a run about gradients that is done now."""
    outcome = carry_out(spec, Results(root))
    assert outcome.record.status == "ok", outcome.record.reason
    return pd.read_parquet(Results(root).run(spec.study, spec.id).path / FILE)
