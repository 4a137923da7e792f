"""What was recorded for a model is there at the next start, for that very model alone."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
import warp as wp

from pwm_bench.envs.contact import CompliantContact
from pwm_bench.envs.warp import SimulatorWarp
from pwm_bench.envs.warp.runtime import start_warp
from pwm_bench.envs.warp.specialise import kernels

BALL = """<mujoco><worldbody><geom type="plane" size="1 1 1"/>
  <body pos="0 0 1"><freejoint/><geom type="sphere" size="0.1" mass="2"/></body></worldbody></mujoco>"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    start_warp()  # which says where the cache is
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(tmp_path))
    return tmp_path


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    made: list[object] = []

    def noted(*arguments: object, **named: object) -> object:
        made.append(named)
        return record(*arguments, **named)  # type: ignore[arg-type]

    record = kernels.record
    monkeypatch.setattr(kernels, "record", noted)
    return made


def make(xml: str = BALL, **options: object) -> SimulatorWarp:
    given = {"num_worlds": 8, "substeps": 2, "timestep": 1e-3, "specialised": True, **options}
    return SimulatorWarp(mujoco.MjModel.from_xml_string(xml), **given)


def test_the_same_model_is_recorded_once(cache: Path, recordings: list[object]) -> None:
    first, second = make()._kernels, make(num_worlds=24, substeps=5)._kernels
    assert len(recordings) == 1
    assert second.texts == first.texts
    assert second.forward_kernel.module.name == first.forward_kernel.module.name  # so Warp finds what it compiled
    for name in ("_numbers", "_adjoint_numbers"):
        assert getattr(first, name).numel() > 0
        assert torch.equal(getattr(second, name), getattr(first, name))


@pytest.mark.parametrize(
    "change",
    [
        {"xml": BALL.replace('mass="2"', 'mass="3"')},
        {"timestep": 2e-3},
        {"dtype": torch.float64},
        {"contact": CompliantContact(stiffness=1e3)},
        {"coalesced": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_one_is_recorded_anew(cache: Path, recordings: list[object], change: dict[str, object]) -> None:
    make()
    make(**change)
    assert len(recordings) == 2


def test_a_damaged_file_is_replaced(cache: Path, recordings: list[object]) -> None:
    texts = make()._kernels.texts
    (file,) = cache.glob("recorded-*.npz")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert make()._kernels.texts == texts
    with np.load(file, allow_pickle=False) as found:
        assert str(found["forward"]) == texts[0]
    assert len(recordings) == 2


def test_it_does_without_a_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = cache / "file"
    blocked.write_text("")
    monkeypatch.setattr(wp.config, "kernel_cache_dir", str(blocked))
    assert make()._kernels.texts[0]
