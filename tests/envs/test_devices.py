"""Which device computes, on machines where torch, Warp and JAX see different things."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from unittest import mock

import pytest
import torch

from pwm_bench import envs
from pwm_bench.envs import devices
from pwm_bench.envs.devices import choose_device, remark, resolve_device, view
from pwm_bench.envs.errors import UsageError
from tests.rehearsal.one_gpu import gpus

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("seen", "simulators", "device", "why"),
    [
        ((0, 0, 0), (), CPU, r"torch \S+ sees no GPU here; to use one: "),
        ((1, 0, 0), (), GPU, r"torch \S+ sees it"),
        ((1, 1, 0), ("warp",), GPU, r"torch \S+ and warp \S+ see it"),
        ((1, 0, 1), ("warp",), CPU, r"warp \S+ sees no GPU here; to use one: "),
        ((1, 1, 0), ("mjx",), CPU, r"jax \S+ sees no GPU here; to use one: pip install 'pwm-bench\[gpu\]'"),
        ((1, 0, 1), ("mjx",), GPU, r"torch \S+ and jax \S+ see it"),
        ((1, 1, 1), ("warp", "mjx"), GPU, r"torch \S+ and warp \S+ and jax \S+ see it"),
        ((1, 1, 0), ("warp", "mjx"), CPU, r"jax \S+ sees no GPU here"),
        ((1, 1, 1), ("mujoco_c",), CPU, "'mujoco_c' computes on CPUs only"),
    ],
)
@pytest.mark.parametrize("name", ["auto", None])
def test_auto_takes_a_gpu_that_all_see_and_says_why(name, seen, simulators, device, why, caplog) -> None:
    remark.cache_clear()
    with gpus(torch_sees=seen[0], warp_sees=seen[1], jax_sees=seen[2]), caplog.at_level(logging.INFO):
        assert [resolve_device(name, *simulators) for _ in range(2)] == [device, device]
    (line,) = [record.message for record in caplog.records if record.name == "pwm_bench.devices"]
    assert "\n" not in line
    assert line.startswith(f"device of {', '.join(simulators)}: {device} (" if simulators else f"device: {device} (")
    assert re.search(why, line)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", torch.device("cuda"), torch.device("cuda:0")])
def test_a_gpu_has_an_index_however_it_is_named(name) -> None:
    with gpus(warp_sees=1, jax_sees=1):
        assert resolve_device(name, "warp", "mjx") == GPU
        assert resolve_device(name).index == 0


def test_torchs_current_gpu_is_meant_once_it_has_one() -> None:
    with (
        gpus(torch_sees=3, warp_sees=3),
        mock.patch.object(torch.cuda, "is_initialized", return_value=True),
        mock.patch.object(torch.cuda, "current_device", return_value=2),
    ):
        assert resolve_device("cuda", "warp") == resolve_device("auto", "warp") == torch.device("cuda", 2)


@pytest.mark.parametrize(
    ("seen", "name", "simulators", "message"),
    [
        ((0, 0, 0), "cuda", (), r"device=cuda: torch \S+ sees no GPU here; use --device cpu, or to use one: "),
        ((1, 1, 1), "cuda:1", (), r"device=cuda:1: torch \S+ sees 1 GPU here, numbered from 0; use --device cpu"),
        ((2, 1, 1), "cuda:1", ("warp",), r"device=cuda:1: warp \S+ sees 1 GPU here, numbered from 0"),
        ((1, 1, 0), "cuda", ("mjx",), r"device=cuda: jax \S+ sees no GPU here; .* pip install 'pwm-bench\[gpu\]'"),
        ((1, 1, 1), "cuda", ("warp", "mujoco_c"), "device=cuda: simulator 'mujoco_c' runs on cpu"),
        ((1, 1, 1), "tpu", (), "device=tpu: must be auto, cpu, cuda or cuda:N"),
        ((1, 1, 1), "cuda:x", (), "device=cuda:x: must be auto, cpu, cuda or cuda:N"),
        ((1, 1, 1), "meta", (), "device=meta: must be auto, cpu, cuda or cuda:N"),
        ((1, 1, 1), "cpu", ("wrap",), "unknown simulator 'wrap': did you mean 'warp'"),
    ],
)
def test_what_is_refused(seen, name, simulators, message) -> None:
    with (
        gpus(torch_sees=seen[0], warp_sees=seen[1], jax_sees=seen[2]),
        pytest.raises(UsageError, match=message),
    ):
        resolve_device(name, *simulators)


def test_the_cpu_needs_no_answer(monkeypatch) -> None:
    monkeypatch.setattr(devices, "LIBRARIES", {})
    assert choose_device("cpu", *envs.simulators()) == (CPU, "")
    assert choose_device("auto", "mujoco_c")[0] == CPU


def test_every_simulator_names_a_library_that_can_be_asked() -> None:
    assert {envs.capabilities(name).library for name in envs.simulators()} <= set(devices.LIBRARIES)


def test_a_driver_too_old_for_warp_is_the_remedy() -> None:
    import warp as wp

    with (
        gpus(warp_sees=0),
        mock.patch.object(wp, "get_cuda_toolkit_version", return_value=(13, 4)),
        mock.patch.object(wp, "get_cuda_driver_version", return_value=(12, 8)),
    ):
        assert "install a driver for CUDA 13 (this one is for 12.8), or an older warp-lang" in view("warp").remedy


def test_a_cuda_jax_that_fails_says_why() -> None:
    class Plugin:
        name = "xla_cuda13"

    for torch_sees, remedy in ((1, "it says: Unknown backend cuda"), (0, "let torch see one first")):
        with (
            gpus(torch_sees=torch_sees, jax_sees=0),
            mock.patch.object(devices, "entry_points", return_value=[Plugin]),
        ):
            assert view("jax").remedy == remedy


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_jax_is_not_sent_to_look_for_a_gpu_where_torch_sees_none() -> None:
    """Its CUDA part may end the process there. JAX keeps its choice for good, so a process of its own is asked."""
    program = "from pwm_bench.envs.mjx.runtime import jax; print(jax.config.jax_platforms, jax.devices()[0].platform)"
    for chosen, expected in (("", "cpu cpu"), ("cpu,cpu", "cpu,cpu cpu")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"JAX_PLATFORMS": chosen},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
