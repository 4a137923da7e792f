"""Exported policies, opened without this package."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from pwm_bench import configs, registry
from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs import export_policy as module
from pwm_bench.jobs.export_policy import export_policy
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.policies import PolicyFile
from pwm_bench.jobs.trained import member_policy
from pwm_bench.learning.random import MemberStream
from pwm_bench.store.results import Results
from tests.pwm_bench.jobs.test_policies import small_spec

onnxruntime = pytest.importorskip("onnxruntime")
DIM, ACTIONS = 11, 3


def example(algorithm: str):
    """An untrained policy whose normaliser has seen something."""
    package = registry.learner_package(algorithm)
    if not hasattr(package, "make_policy"):
        pytest.skip("it acts by planning, and leaves no policy")
    config = package.recipe("hopper", "warp")
    policy = package.make_policy(config, DIM, ACTIONS, stream=MemberStream([5])).eval().requires_grad_(False)
    if policy.observations is not None:
        rows = 3.0 + 2.0 * torch.randn(1, 256, DIM, generator=torch.Generator().manual_seed(1))
        policy.observations.update(rows)
    about = PolicyFile(
        algorithm=algorithm, config=configs.to_json(config), task="hopper", simulator="warp", seeds=(5,),
        observation_dim=DIM, action_dim=ACTIONS, gradient_source=package.gradient_source,
    )  # fmt: skip
    return policy, about


@pytest.mark.parametrize("algorithm", registry.ALGORITHMS.own)
@pytest.mark.parametrize("ending", [".pt", ".onnx"])
def test_it_acts_as_the_original_for_any_number_of_observations(algorithm, ending, tmp_path):
    policy, about = example(algorithm)
    path = tmp_path / "folder" / f"policy{ending}"
    assert export_policy(policy, about, path) <= 3e-6  # float32 and the order of sums
    for number in (1, 3, 64):
        obs = 3.0 + 2.0 * torch.randn(number, DIM, generator=torch.Generator().manual_seed(number))
        expected = policy(obs.unsqueeze(0)).squeeze(0)
        if ending == ".pt":
            action = torch.jit.load(path)(obs).numpy()
        else:
            session = onnxruntime.InferenceSession(path)
            (action,) = session.run(None, {"obs": obs.numpy()})
        assert action.shape == (number, ACTIONS)
        assert np.abs(action - expected.numpy()).max() <= 3e-6
    said = json.loads(path.with_suffix(".json").read_text())
    assert (said["algorithm"], said["task"], said["seeds"]) == (algorithm, "hopper", [5])
    assert said["input"]["shape"] == ["N", DIM]
    assert sorted(file.name for file in path.parent.iterdir()) == ["policy.json", path.name]


def test_torchscript_needs_nothing_but_torch(tmp_path):
    policy, about = example("pwm")
    export_policy(policy, about, tmp_path / "policy.pt")
    code = (
        "import sys, torch\n"
        f"action = torch.jit.load({str(tmp_path / 'policy.pt')!r})(torch.zeros(2, {DIM}))\n"
        "assert not [name for name in sys.modules if name.startswith('pwm_bench')]\n"
        "print(action.tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert np.allclose(json.loads(done.stdout), policy(torch.zeros(1, 2, DIM))[0].numpy(), atol=1e-6)


def test_what_acts_otherwise_is_not_kept(tmp_path, monkeypatch):
    policy, about = example("ppo")
    monkeypatch.setattr(module, "_open", lambda path, format: lambda obs: torch.full((len(obs), ACTIONS), 0.5))
    with pytest.raises(UsageError, match="actions differ by"):
        export_policy(policy, about, tmp_path / "policy.pt")
    assert not list(tmp_path.iterdir())


def test_bad_input_is_named(tmp_path, monkeypatch):
    policy, about = example("ppo")
    with pytest.raises(UsageError, match=r"policy\.h5: must end in \.pt \(torchscript\) or \.onnx \(onnx\)"):
        export_policy(policy, about, tmp_path / "policy.h5")
    with pytest.raises(UsageError, match="unknown format of a policy 'onx': did you mean 'onnx'"):
        export_policy(policy, about, tmp_path / "policy.onnx", format="onx")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        export_policy(policy, about, tmp_path / "file" / "policy.pt")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else found(name))
    with pytest.raises(UsageError, match=r"needs onnx: pip install 'pwm-bench\[export\]', or export torchscript"):
        export_policy(policy, about, tmp_path / "policy.onnx")


def test_the_command_writes_the_policy_of_a_run(tmp_path, capsys):
    results, spec = Results(tmp_path), small_spec("ppo")
    assert carry_out(spec, results).exit_code == 0
    place = ("--results", str(tmp_path))
    assert main(["results", "export-policy", spec.id[:6], "--member", "9", *place]) == 0
    path = tmp_path / "exports" / "policies" / f"{spec.id}-seed9.pt"
    assert capsys.readouterr().out.startswith(f"{path}\nactions differ by at most ")
    _, policy = member_policy(results.run(spec.study, spec.id), 9)
    obs = torch.randn(4, 5)
    assert torch.allclose(torch.jit.load(path)(obs), policy(obs.unsqueeze(0))[0], atol=1e-6)
    assert main(["results", "export-policy", spec.id, "--output", str(tmp_path / "x.onnx"), *place]) == 0
    assert (tmp_path / "x.onnx").exists()
    assert main(["results", "export-policy", "--output", "x.onnx", *place]) == 2
    assert "give one run" in capsys.readouterr().err
