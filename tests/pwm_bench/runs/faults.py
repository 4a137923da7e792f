"""Runs for tests of faults, and what is left of them."""

from __future__ import annotations

import os
from pathlib import Path

from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.results import Results
from tests.pwm_bench.cli.toy_cli import toy_spec

ROOT = os.geteuid() == 0


def slow_toy(**overrides):
    """A run of one or two seconds."""
    return toy_spec(env_steps=2000, overrides={"nap": 0.02, **overrides})


def undisturbed(spec, root):
    """The same run, done here and at once."""
    assert carry_out(spec, Results(root)).exit_code == 0
    return Results(root).run(spec.study, spec.id)


def content(folder: Path) -> dict:
    return {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file() and file.name != "lock"}
