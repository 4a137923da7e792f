"""Everything that computes in Warp is constructed on a machine that seems to have one GPU."""

from __future__ import annotations

import pytest
import torch
import warp as wp

from pwm_bench import envs, registry
from pwm_bench.bench.workloads import make_rollout
from pwm_bench.envs.tasks import load_task
from pwm_bench.envs.warp import SimulatorWarp
from pwm_bench.gradients.keeping import ProblemSpec, Work
from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
from pwm_bench.gradients.pedagogical.pendulum import PendulumSpec
from pwm_bench.gradients.slices import SliceSpec
from pwm_bench.jobs.gradients import PiecesJob
from pwm_bench.jobs.train import TrainJob
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.inputs import Pending
from pwm_bench.sweeps import devices
from tests.rehearsal.one_gpu import gpus

NAMES = ["auto", "cuda", "cuda:0", torch.device("cuda")]
GPU = torch.device("cuda", 0)


def test_the_machine_refuses_what_a_real_one_refuses() -> None:
    """Warp looks a GPU up by its index; a device without one was the end of every run."""
    with gpus():
        assert wp.device_from_torch(GPU) is not None
        with pytest.raises(TypeError):
            wp.device_from_torch(torch.device("cuda"))
        with pytest.raises(AssertionError, match="without its index"):
            torch.zeros(2, device="cuda")


@pytest.mark.parametrize("name", NAMES)
def test_simulators_and_environments(name) -> None:
    task = load_task("hopper")
    sizes = {"num_worlds": 4, "substeps": 4, "timestep": 1 / 240}
    with gpus():
        made = [
            SimulatorWarp(task.model(), device=name, **sizes),
            envs.make_simulator("warp", task.model(), device=name, **sizes),
            envs.make("muscle_humanoid", num_envs=2, device=name).simulator,
            make_rollout("cartpole", "warp", 2, 1, device=name).simulator,
        ]
    assert {simulator.device for simulator in made} == {GPU}
    assert all(simulator._coalesced and simulator.block_dim == 32 for simulator in made)


@pytest.mark.parametrize("algorithm", registry.algorithms())
def test_learners(algorithm) -> None:
    spec = RunSpec.create(task="hopper", simulator="warp", algorithm=algorithm, env_steps=1000, device="auto")
    with gpus():
        job = TrainJob(spec)
    assert (job.device, job.env.device, job.evaluator.env.device) == (GPU, GPU, GPU)


def test_mjx_stays_on_the_cpu_unless_jax_sees_the_gpu() -> None:
    for jax_sees, device in ((0, torch.device("cpu")), (1, GPU)):
        with gpus(jax_sees=jax_sees):
            assert envs.make("cartpole", "mjx", num_envs=2, device="auto").device == device
            assert envs.make("cartpole", "mujoco_c", num_envs=2, device="auto").device == torch.device("cpu")


def test_studies() -> None:
    """Their jobs compute where the simulators that compute in them do."""
    model = {"model.warp": Pending("model", "model")}

    def device_of(spec: ProblemSpec) -> torch.device:
        return PiecesJob(spec, lambda device: Work()).device

    with gpus():
        for name in ("auto", "cuda"):
            for spec in (
                BallWallSpec(device=name),
                PendulumSpec(device=name),
                SliceSpec(task="hopper", device=name, inputs=model),
            ):
                assert device_of(spec) == GPU
        assert device_of(PendulumSpec(device="auto", simulator="mjx")) == torch.device("cpu")


def test_a_sweep_finds_the_gpu_and_its_memory() -> None:
    with gpus():
        found = devices._choose([("auto", ("warp",)), ("cuda", ()), ("cpu", ("warp",)), ("auto", ("mjx",))])
    assert [(str(device), free) for device, _, free in found] == [
        ("cuda:0", 12 * 2**30), ("cuda:0", 12 * 2**30), ("cpu", 0), ("cpu", 0),
    ]  # fmt: skip
