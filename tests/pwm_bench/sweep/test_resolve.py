"""Pending inputs become the artifacts of finished runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from envs.errors import UsageError
from pwm_bench.store.inputs import Input, Pending, content_digest
from pwm_bench.store.schema import Artifact
from pwm_bench.store.spec import Spec
from pwm_bench.sweep.resolve import awaited, resolve
from tests.pwm_bench.store.factories import write_run


@dataclass(frozen=True)
class Reading(Spec):
    inputs: Mapping[str, Input | Pending] = field(default_factory=dict)


def test_pending_inputs_become_artifacts(tmp_path):
    directory = write_run(tmp_path, "aaa", curves=[[0.0]], steps=[0], seconds=[0.0])
    (directory.path / "model.bin").write_bytes(b"weights")
    digest = content_digest(directory.path / "model.bin")
    record = directory.read()
    record.artifacts = {"model": Artifact(file="model.bin", digest=digest)}
    directory.write(record)
    known = Input(path="elsewhere", digest="0")
    spec = Reading({"model": Pending("m", "model"), "data": known})
    assert list(awaited(spec)) == ["m"]
    found = resolve(spec, {"m": directory})
    assert found.inputs == {"model": Input(path=str(directory.path / "model.bin"), digest=digest), "data": known}
    assert list(awaited(found)) == []
    assert resolve(found, {}) is found
    with pytest.raises(KeyError):
        resolve(spec, {})
    with pytest.raises(UsageError, match="unknown artifact of the run 'modl'"):
        resolve(Reading({"model": Pending("m", "modl")}), {"m": directory})
