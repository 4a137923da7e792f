"""`pwm-bench bench gpu`, end to end on the CPU: the same steps in processes of their own, at sizes of seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import warp

from pwm_bench.bench import gpu
from pwm_bench.bench.beforehand import layers_of
from pwm_bench.bench.extraction import make_model
from pwm_bench.bench.gpu_tests import LAUNCHES, find_gpu_tests
from pwm_bench.bench.learners import TASK, make_learner
from pwm_bench.bench.ledger import read
from pwm_bench.bench.steps import STEPS
from pwm_bench.bench.workloads import make_rollout
from pwm_bench.envs import random_kernels
from pwm_bench.envs.api import LARGEST_STATE
from pwm_bench.envs.errors import UsageError
from pwm_bench.envs.fused.generate import generate
from pwm_bench.envs.fused.kernels import Kernels
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.warp.runtime import start_warp
from pwm_bench.learning import adam_kernels, epilogue_kernels
from pwm_bench.pwm.recipes import recipe
from tests.pwm_bench.conftest import ROOT
from tests.rehearsal.learners import LAUNCHES as TABLE


def test_all_steps_are_rehearsed(start, tmp_path: Path) -> None:
    path = tmp_path / "gpu.jsonl"
    words = ("bench", "gpu", "--device", "cpu", "--quick", "--minutes", "9", "--output", path)
    process = start(*words, toys=False)
    printed, problems = process.communicate(timeout=550)
    assert process.returncode == 0, printed + problems
    tables = read(path)
    names = [step.name for step in gpu.steps("cpu", quick=True)]
    assert [(row["step"], row["status"]) for row in tables[STEPS]] == [(name, "done") for name in names]
    assert tables["machine"][0]["device"] == "cpu"
    passed = {str(row["test"]).partition("[")[0] for row in tables["tests"] if row["outcome"] == "passed"}
    assert passed == {
        "a_gpu_agrees_with_the_cpu",
        "gpu_agrees_with_cpu_and_captures_in_a_graph",
        "twenty_updates_against_the_cpu",
        "a_captured_update_is_the_eager_one",
        "a_captured_extraction_is_the_eager_one",
        "resuming_on_another_device",
        "extraction_against_the_cpu",
    }
    counted = [row for row in tables["launches"] if row["outcome"] == "passed"]
    assert [row["algorithm"] for row in counted] == ["apg"]
    assert counted[0]["launches"] == counted[0]["rehearsed"] == TABLE["apg"]
    assert [row["block"] for row in tables["simulators"]] == [None, 32]
    assert {(row["tasks"], row["precision"]) for row in tables["extraction"]} >= {(1, "float32"), (2, "bfloat16")}
    assert [(row["algorithm"], row["seeds"]) for row in tables["learners"]] == [("shac", 1)]
    for table, figure in (("simulators", "forward + backward [steps/s]"), ("extraction", "ms/update"),
                          ("learners", "env steps/s")):  # fmt: skip
        assert all(float(row[figure]) > 0.0 for row in tables[table])
    assert not list(tmp_path.glob("*.log"))


def test_the_plan_for_a_gpu() -> None:
    steps = gpu.steps("cuda")
    assert [step.name for step in steps] == ["machine", "tests", "launches", "simulators", "extraction", "learners"]
    assert sum(step.seconds for step in steps) <= 7 * 60 + 20
    files = [path.relative_to(ROOT / "tests").as_posix() for path in find_gpu_tests(ROOT)]
    assert files[0].startswith("envs/warp/")
    assert files[-1] == "envs/mjx/test_precision.py"
    assert f"rehearsal/{LAUNCHES}" in files


def test_a_sweep_over_blocks_comes_last() -> None:
    cases = list(gpu._cases(quick=False))
    blocks = [block for *_, block in cases]
    assert blocks == [None] * 16 + [32, 64, 128, 256] * 4
    assert len(set(cases)) == len(cases)


@pytest.mark.slow
def test_what_steps_launch_is_compiled_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the blocks that they are launched in: a kernel of another block has another name in the cache."""
    start_warp()  # it has a cache of its own to go back to
    monkeypatch.setattr(warp.config, "kernel_cache_dir", str(tmp_path))
    gpu.main(compile_for=90)
    task = load_task(TASK)
    fused = Kernels(generate(task), torch.float32, LARGEST_STATE)
    wanted = [(fused.module("cuda"), 32)]
    wanted += [(kernel.module, 256) for kernel in random_kernels._kernels(torch.float32)]
    wanted += [(kernel.module, 256) for kernel in adam_kernels._kernels(torch.float32)[:3]]
    trained = layers_of(make_learner("pwm", 1, "cpu", small=True))
    layers = [
        *((*one, torch.float32) for one in trained),
        *((*x, torch.bfloat16) for x in layers_of(make_model("48M", "cpu"))),
    ]
    wanted += [(epilogue_kernels._made(*layer, "cuda").forward.module, 128) for layer in layers]
    for dtype, blocks in ((torch.float32, (32, 64, 128, 256)), (torch.float64, (32,))):
        simulator: Any = make_rollout("ant", "warp", 1, 1, dtype=dtype, coalesced=True).simulator
        kernels = simulator._kernels
        wanted += [(x.module, block) for x in (kernels.forward_kernel, kernels.adjoint_kernel) for block in blocks]
    for module, block in wanted:
        name = module.get_module_identifier(block_dim=block)
        assert list(tmp_path.rglob(f"{name}/{name}.sm90.cubin")), (module.name, block)


def test_a_device_that_is_none() -> None:
    with pytest.raises(UsageError, match="--device tpu: must be cuda, cuda:N, or cpu"):
        gpu.main(device="tpu")


def test_layers_of_a_learner_are_found_with_what_follows_them() -> None:
    found = layers_of(make_learner("pwm", 1, "cpu", small=True))
    config = recipe(TASK, "warp")
    assert {width for key, width in found if key.post} == {*config.hidden_actor, *config.hidden_critic}
    assert {key.group for key, _ in found} == {1, config.world_model.simnorm_dim}
    assert layers_of(make_learner("ppo", 1, "cpu", small=True)) == set()  # nothing is normalised there
