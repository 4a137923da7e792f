"""The public functions, on toys where that is enough."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pwm_bench as pb
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.policies import POLICY, load_policy
from pwm_bench.store.results import Results
from pwm_bench.sweeps.graph import Study
from tests.pwm_bench.cli.toy_cli import toy_spec

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "python.md"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The default results folder, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWM_BENCH_RESULTS", "results")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the toys' processes start in another folder
    return tmp_path


def test_the_ten_lines_of_the_docs(here, capsys):
    code, *_ = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.S)
    assert len([line for line in code.splitlines() if line]) <= 11
    small = code.replace("env_steps=2e4", "env_steps=512, evaluations=2, evaluation_episodes=2")
    assert small != code
    names: dict = {}
    exec(compile(small, str(DOCS), "exec"), names)
    shown = capsys.readouterr().out
    assert r"\begin{tabular}" in shown
    assert "untrained" in shown
    assert (here / "figures" / "curves.svg").stat().st_size > 1000
    assert names["frame"].seed.tolist() == [0, 1]
    assert names["frame"].final.tolist() == [names["run"].returns[seed] for seed in (0, 1)]
    assert names["obs"].shape == (4, 5)
    assert np.isfinite(names["reward"]).all()


def test_importing_is_cheap_and_no_name_is_a_packages():
    code = (
        "import sys, pwm_bench as pb\n"
        "assert not {'torch', 'jax', 'pandas', 'numpy', 'matplotlib', 'gymnasium'} & set(sys.modules)\n"
        "assert set(pb.__all__) <= set(dir(pb))\n"
        "import pkgutil, pwm_bench.sweeps.graph as graph\n"
        "assert graph.Study and callable(pb.sweep)\n"
        "assert not {one.name for one in pkgutil.iter_modules(pb.__path__)} & set(pb.__all__)\n"
        "assert all(getattr(pb, name) is not None for name in pb.__all__)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError, match="has no attribute 'swep'"):
        pb.swep  # noqa: B018


@pytest.mark.usefixtures("toys")
def test_a_run_is_carried_out_resumed_and_found_finished(here):
    events = []
    options = {"task": "point_mass", "simulator": "toy", "algorithm": "fake", "env_steps": 400, "device": "cpu"}
    first = pb.run(**options, seeds=[3, 4], evaluations=3, callback=events.append)
    assert (first.status, list(first.returns), len(first.directories)) == ("ok", [3, 4], 1)
    assert {"setup", "train", "evaluate", "done"} <= {event.phase for event in events}
    assert repr(first).startswith(f"<run {first.id}: point_mass · toy · fake, ok; return of seed 3")
    again = pb.run(**options, seeds=[3, 4, 5], evaluations=3)
    assert again.path == first.path
    assert (list(again.returns), len(again.directories)) == ([3, 4, 5], 2)
    frame = again.frame()
    assert frame.seed.tolist() == [3, 4, 5]
    assert frame.final.tolist() == list(again.returns.values())
    everything = pb.load("single")
    assert everything.seed.tolist() == [3, 4, 5]
    assert everything.columns[:3].tolist() == ["run_id", "study", "task"]
    with pytest.raises(pb.UsageError, match=r"algorithm is missing: e\.g\. run"):
        pb.run(task="point_mass")
    with pytest.raises(pb.UsageError, match="the spec says what to run"):
        pb.run(toy_spec(), task="point_mass")
    with pytest.raises(pb.UsageError, match=r"seeds=0: must be how many"):
        pb.run(**options, seeds=0)


@pytest.mark.usefixtures("toys")
def test_a_failed_run_is_raised_and_a_callback_can_end_one(here):
    with pytest.raises(pb.RunFailedError, match=r"failed: .*told to fail.*traceback.txt") as caught:
        pb.run(toy_spec(overrides={"fault": "raise"}))
    assert caught.value.run.record.status == "failed"

    class PrunedError(Exception):
        pass

    def prune(event):
        if event.phase == "train":
            raise PrunedError

    with pytest.raises(PrunedError):
        pb.run(toy_spec(), callback=prune)
    assert Results("results").run("single", toy_spec().id).status() == "interrupted"
    assert pb.run(toy_spec()).status == "ok"


def test_a_run_leaves_torch_as_it_was(here):
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        torch.set_num_threads(2)
        torch.set_float32_matmul_precision("high")
        pb.run(task="cartpole", algorithm="ppo", env_steps=64, evaluations=2, evaluation_episodes=1, device="cpu",
               config={"num_envs": 4, "horizon": 16, "minibatches": 2})  # fmt: skip
        assert torch.get_num_threads() == 2
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


@pytest.mark.usefixtures("toys")
def test_a_sweep_does_all_runs_and_shows_what_became_of_them(here):
    told = set()
    study = Study(name="two", description="", specs=(toy_spec(), toy_spec(overrides={"fault": "raise"})))
    done = pb.sweep(study, jobs=2, callback=lambda name, event: told.add(name))
    assert [item.status for item in done.items] == ["ok", "failed"]
    assert not done.ok
    assert len(told) == 2
    assert "failed: RuntimeError" in repr(done)
    assert len(done.table().to_frame()) == 2
    assert set(done.load().status) == {"ok", "failed"}
    with pytest.raises(pb.UsageError, match="unknown study 'toyz'"):
        pb.sweep("toyz")
    with pytest.raises(pb.UsageError, match="seeds: a study that is given as such"):
        pb.sweep(study, seeds=3)


@pytest.mark.usefixtures("toys")
def test_what_a_sweeps_callback_raises_stops_it_in_order(here):
    class EnoughError(Exception):
        pass

    def enough(name, event):
        raise EnoughError

    study = Study(name="one", description="", specs=(toy_spec(),))
    with pytest.raises(EnoughError):
        pb.sweep(study, callback=enough)
    assert Results("results").run("one", toy_spec().id).status() in (None, "interrupted")
    assert pb.sweep(study).ok


@pytest.fixture
def toy_results(toys, tmp_path):
    """Two algorithms' worth of toy runs."""
    results = Results(tmp_path / "results")
    for rate in (0.01, 0.02):
        assert carry_out(toy_spec(overrides={"learning_rate": rate}), results).exit_code == 0
    return results


def test_tables_in_every_form(toy_results):
    table = pb.table("single", results=toy_results.root)
    assert set(table.to_frame().variant) == {"learning_rate=0.01", "learning_rate=0.02"}
    assert table.to_markdown().count("| fake (learning_rate=") == 2
    assert r"\toprule" in table.to_latex(label="tab:x")
    assert r"\label{tab:x}" in table.to_latex(label="tab:x")
    assert table.to_csv().splitlines()[0].startswith("origin,task")
    page = table._repr_html_()
    assert page.startswith("<table><caption>single: return</caption>")
    assert page.count("<tr>") >= 3
    assert "learning_rate=0.01" in page
    assert "fake" in repr(table)
    assert max(map(len, repr(table).splitlines())) <= 100
    with pytest.raises(pb.UsageError, match="unknown option of a table 'mach': did you mean 'match'"):
        pb.table("single", results=toy_results.root, mach="none")


def test_figures_are_drawn_and_saved(toy_results, tmp_path):
    figures = pb.plot("single", ("curves", "scores"), results=toy_results.root)
    assert list(figures) == ["curves", "scores"]
    assert "<svg" in figures._repr_html_()
    assert figures.notes
    files = figures.save(tmp_path / "figures", "svg")
    assert [file.name for file in files] == ["curves.svg", "scores.svg"]
    with pytest.raises(pb.UsageError, match="unknown kind of figure 'curve': did you mean 'curves'"):
        pb.plot("single", "curve", results=toy_results.root)
    with pytest.raises(pb.UsageError, match="unknown option of a figure 'scales'"):
        pb.plot("single", results=toy_results.root, scales="log")


def test_policies_take_arrays_of_any_shape_and_kind(tmp_path):
    run = pb.run(
        task="cartpole", algorithm="ppo", env_steps=256, seeds=2, evaluations=2, evaluation_episodes=2, device="cpu",
        config={"num_envs": 8, "horizon": 16, "minibatches": 2}, results=tmp_path,
    )  # fmt: skip
    policy = pb.load_policy(run, seed=1)
    assert (policy.observation_dim, policy.action_dim, policy.about.seeds) == (5, 1, (1,))
    assert repr(policy) == "<policy of cartpole · warp · ppo · seed 1: (..., 5) to (..., 1)>"
    obs = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    action = policy(obs)
    assert (action.shape, action.dtype) == ((3, 4, 1), np.float32)
    _, network = load_policy(run.path / POLICY)
    both = network(torch.from_numpy(obs).reshape(1, 12, 5).expand(2, -1, -1))
    assert np.allclose(action.reshape(12, 1), both[1].numpy(), atol=1e-6)
    assert np.allclose(policy(obs[0, 0]), action[0, 0], atol=1e-6)
    tensor = policy(torch.from_numpy(obs).double())
    assert tensor.dtype == torch.float64
    assert np.allclose(tensor.numpy(), action, atol=1e-6)
    noisy = policy.explore(obs, generator=torch.Generator().manual_seed(1))
    assert np.array_equal(noisy, policy.explore(obs, generator=torch.Generator().manual_seed(1)))
    assert np.abs(noisy - action).max() > 0.01
    best = max(run.returns, key=run.returns.get)
    assert pb.load_policy(run.id[:6], results=tmp_path).about.seeds == (best,)
    with pytest.raises(pb.UsageError, match=r"obs has shape \(3, 4\): must be \(\.\.\., 5\)"):
        policy(obs[..., :4].reshape(-1, 4)[:3])
    with pytest.raises(pb.UsageError, match="seed=7: the run has the seeds 0, 1"):
        pb.load_policy(run, seed=7)
    with pytest.raises(pb.UsageError, match="is neither a run's directory nor a run in"):
        pb.load_policy("abcdef", results=tmp_path)


def test_gradients_measures_and_shows(tmp_path):
    table = pb.compare_gradients(
        "cartpole", estimators=("analytic", "score"), horizons=(2,), states=2, samples=4, reference_samples=8, worlds=8,
        results=tmp_path,
    )  # fmt: skip
    frame = table.to_frame()
    assert set(frame.estimator) == {"analytic", "score"}
    assert set(frame.horizon) == {2}
    assert "H=2" in repr(table)
    assert "<table>" in table._repr_html_()
    everything = pb.load(table.title, results=tmp_path)
    assert {"cosine", "esnr"} <= set(everything.metric)
    with pytest.raises(pb.UsageError, match="match: is about scores"):
        pb.table(table.title, results=tmp_path, match="none")
    with pytest.raises(pb.UsageError, match="unknown task or gradient study 'hoper': did you mean 'hopper'"):
        pb.compare_gradients("hoper", results=tmp_path)


def test_vector_environments_of_three_libraries():
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("tensordict")
    for interface, name in (
        ("gymnasium", "GymVectorEnv"), ("stable_baselines3", "Sb3VecEnv"), ("rsl_rl", "RslRlVecEnv"),
    ):  # fmt: skip
        env = pb.make_vec("cartpole", "mujoco_c", num_envs=3, interface=interface)
        assert (type(env).__name__, env.num_envs) == (name, 3)
    with pytest.raises(pb.UsageError, match="unknown interface 'sb3'"):
        pb.make_vec("cartpole", interface="sb3")


RUN = {"task": "point_mass", "simulator": "toy", "algorithm": "fake"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (RUN | {"seeds": 3.0}, r"seeds=3.0: must be how many"),
        (RUN | {"config": ["gamma"]}, r"config=\['gamma'\]: must be a dictionary"),
        (RUN | {"budgets": 5}, r"budgets=5: must be a dictionary"),
        (RUN | {"simulator_options": [3]}, r"simulator_options=\[3\]: must be a dictionary"),
        (RUN | {"evaluation": 3}, r"unknown field of the spec 'evaluation': did you mean 'evaluations'"),
        (RUN | {"study": 5}, r"study=5: must be a plain folder name"),
        (RUN | {"device": 0}, r"device=0: must be auto, cpu"),
        ({"spec": RUN}, r"spec=\{.*\}: must be a Spec"),
    ],
)
def test_a_run_that_is_asked_for_badly(here, toys, arguments, message):
    with pytest.raises(pb.UsageError, match=message):
        pb.run(**arguments)


@pytest.mark.parametrize("name", ["seeds", "simulator", "preset", "simulator_options", "study"])
def test_no_argument_beside_a_spec_is_ignored(here, toys, name):
    given = {"seeds": 3, "simulator": "warp2", "preset": "published", "simulator_options": {}, "study": "x"}
    with pytest.raises(pb.UsageError, match=f"{name}: the spec says what to run"):
        pb.run(toy_spec(), **{name: given[name]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"study": 5}, r"study=5: must be a name, the path of a study file, or"),
        ({"study": "toys", "tasks": ["x"]}, r"unknown option of a study 'tasks': did you mean 'task'"),
        ({"study": "toys", "checkpoint_seconds": -1}, r"checkpoint_seconds=-1: must not be negative"),
    ],
)
def test_a_sweep_that_is_asked_for_badly(here, toys, arguments, message):
    with pytest.raises(pb.UsageError, match=message):
        pb.sweep(**arguments, limit=0)


def test_a_comparison_that_is_asked_for_badly(here):
    with pytest.raises(pb.UsageError, match="unknown setting of a comparison 'horizon': did you mean 'horizons'"):
        pb.compare_gradients("cartpole", horizon=4)


def test_a_sweep_takes_single_names_and_values(here, toys):
    swept = pb.sweep("toys", task="point_mass", settings={"momentum": 0.25}, limit=0)
    assert swept.study == "toys-momentum-0.25"
    assert {item.spec.config["momentum"] for item in swept.items} == {0.25}
