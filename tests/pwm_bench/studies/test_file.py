"""Study files: what they stand for, and what is said of those that say something wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.inputs import Pending
from pwm_bench.studies.file import EXAMPLE, load_file

TRAIN = '[[runs]]\ntask = "cartpole"\nalgorithm = "ppo"\n'


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_grid_of_everything(tmp_path):
    study = load_file(write(tmp_path, '''
        description = "a grid"
        [defaults]
        seeds = 2
        evaluations = 3
        [[runs]]
        task = ["cartpole", "hopper"]
        simulator = "mjx"
        algorithm = ["ppo", "shac"]
        env_steps = 2e3
        budget = { gradient_steps = 50, cpu_seconds = 9.5 }
        set = { num_envs = 4 }
        grid = { horizon = [8, 16] }
    '''))  # fmt: skip
    assert (study.name, study.description) == ("mine", "a grid")
    found = [(s.task, s.algorithm, s.config["horizon"]) for s in study.specs]
    assert found == [(t, a, h) for t in ("cartpole", "hopper") for a in ("ppo", "shac") for h in (8, 16)]
    for spec in study.specs:
        assert (spec.simulator, spec.env_steps, spec.seeds, spec.evaluations) == ("mjx", 2000, (0, 1), 3)
        assert spec.limits == {"gradient_steps": 50, "cpu_seconds": 9.5}
        assert spec.config["num_envs"] == 4
        assert spec.study == "mine"
    assert list(study.nodes)[:2] == ["cartpole · mjx · ppo · horizon=8", "cartpole · mjx · ppo · horizon=16"]


def test_a_group_names_the_rows_of_its_runs(tmp_path):
    study = load_file(write(tmp_path, f'{TRAIN}variant = "wide critic"\n'))
    assert [spec.variant for spec in study.specs] == ["wide critic"]
    assert list(study.nodes) == ["cartpole · warp · ppo · wide critic"]


def test_presets_and_defaults_of_the_command_line(tmp_path):
    from pwm_bench.jobs.train_spec import RunSpec

    study = load_file(write(tmp_path, f'{TRAIN}preset = ["cpu", "published"]\nseeds = [7, 3]\n'))
    names = {"task": "cartpole", "simulator": "warp", "algorithm": "ppo", "seeds": (7, 3), "study": "mine"}
    assert list(study.specs) == [RunSpec.create(preset=preset, **names) for preset in ("cpu", "published")]


def test_a_graph_reads_what_belongs_together(tmp_path):
    study = load_file(write(tmp_path, '''
        [[runs]]
        name = "use"
        kind = "extract"
        tasks = ["cartpole-swingup"]
        inputs = { model = "model", data = ["data"] }
        grid = { iterations = [10, 20] }
        [[runs]]
        name = "act"
        kind = "compare"
        tasks = ["cartpole-swingup"]
        arm = "pwm-planning"
        inputs = { model = "model", policies = "use" }
        [[runs]]
        name = "data"
        kind = "collect"
        tasks = ["cartpole-swingup"]
        episodes = [2, 3]
        [[runs]]
        name = "model"
        kind = "pretrain"
        inputs.data = ["data"]
        gradient_steps = 10
        size = "1M"
        seed = [0, 1]
        set.batch_size = 8
    '''))  # fmt: skip
    nodes = study.nodes
    assert [name for name in nodes if name.startswith("data")] == ["data · 2", "data · 3"]
    both = {f"data.{number}": Pending(f"data · {number + 2}", "data") for number in range(2)}
    assert nodes["model · 1"].inputs == both
    assert (nodes["model · 1"].seed, nodes["model · 1"].training.batch_size) == (1, 8)
    assert nodes["use · iterations=20 · model · 1"].inputs == {"model": Pending("model · 1", "model"), **both}
    acts = {name: spec.inputs for name, spec in nodes.items() if name.startswith("act")}
    assert len(acts) == 4  # each extraction with its own world model, not with the other
    for inputs in acts.values():
        assert inputs["model"] == nodes[inputs["policies"].node].inputs["model"]


def test_policies_are_evaluated_where_they_were_trained_but_for_what_is_said(tmp_path):
    study = load_file(write(tmp_path, '''
        [[runs]]
        name = "training"
        task = ["cartpole", "double_pendulum"]
        algorithm = "ppo"
        seeds = [4, 5]
        simulator_options = { substeps = 3 }
        [[runs]]
        name = "again"
        kind = "evaluate"
        inputs = { policy = "training" }
        simulator = ["warp", "mjx"]
        evaluation_episodes = 7
    '''))  # fmt: skip
    found = {name: spec for name, spec in study.nodes.items() if name.startswith("again")}
    assert len(found) == 4
    for spec in found.values():
        trained = study.nodes[spec.inputs["policy"].node]
        assert (spec.task, spec.algorithm, spec.seeds) == (trained.task, "ppo", (4, 5))
        assert (spec.evaluation_episodes, spec.simulator_options.get("substeps")) == (
            7, {"warp": 3, "mjx": None}[spec.simulator],
        )  # fmt: skip


def test_some_kinds_of_work_have_a_number_of_seeds(tmp_path):
    (spec,) = load_file(write(tmp_path, '[[runs]]\nkind = "ball-wall"\nseeds = 3\n')).specs
    assert spec.seeds == 3


def test_files_are_read_from_beside_the_study(tmp_path):
    (tmp_path / "weights").write_text("w")
    study = load_file(write(tmp_path, '''
        [[runs]]
        kind = "pretrain"
        gradient_steps = 10
        inputs = { data = { path = "weights" }, continues = { path = "weights" } }
    '''))  # fmt: skip
    (spec,) = study.specs
    assert {one.path for one in spec.inputs.values()} == {str(tmp_path / "weights")}


def test_the_example_is_a_study_with_and_without_its_comments(tmp_path):
    text = EXAMPLE.read_text()
    study = load_file(write(tmp_path, text))
    assert (study.name, len(study.specs)) == ("my-study", 2)
    code = re.compile(r"^# (\[\[runs]]|\w+ = .*)$", re.M)
    before, after = text.split("# Runs can be of any kind")
    study = load_file(write(tmp_path, before + "# " + code.sub(r"\1", after)))
    assert [spec.kind for spec in study.specs].count("extract") == 2
    assert len(study.specs) == 6


WRONG = {
    "not toml": ("[[runs]\n", r"not valid TOML \(.*line 1.*study init"),
    "no runs": ('name = "x"\n', r"runs: there is no group of runs; add one"),
    "unknown key of the file": (f'descripton = "x"\n{TRAIN}', r"toml: unknown key 'descripton': did you mean 'descrip"),
    "a key of another type": (f"name = 3\n{TRAIN}", r"name=3: must be a name"),
    "a name that is no folder's": (f'name = "a/b"\n{TRAIN}', r"name: study='a/b': must be a plain folder name"),
    "a name that is taken": (
        f'name = "hopper"\n{TRAIN}',
        r"name='hopper': a study of the package has this name",
    ),
    "unknown key of a group": (f'{TRAIN}taks = "x"\n', r"runs\[1\]: unknown key 'taks': did you mean 'task'"),
    "setting outside set": (f"{TRAIN}gamma = 0.9\n", r"variant, or settings of the algorithm in set or grid"),
    "unknown default": (f"[defaults]\nseed = 1\n{TRAIN}", r"defaults: unknown key 'seed': did you mean 'seeds'"),
    "unknown kind": (
        '[[runs]]\nkind = "trian"\n',
        r"runs\[1\].kind: unknown kind of work 'trian': did you mean 'tr",
    ),
    "unknown task": (
        TRAIN.replace("cartpole", "cartpol"),
        r"runs\[1\]: unknown task 'cartpol': did you mean 'cart",
    ),
    "unknown algorithm": (TRAIN.replace("ppo", "shacc"), r"runs\[1\]: unknown algorithm 'shacc': did you mean 'shac'"),
    "no task": ('[[runs]]\nalgorithm = "ppo"\n', r"runs\[1\]: task: is missing; see"),
    "number as text": (f'{TRAIN}env_steps = "many"\n', r'runs\[1\].env_steps="many": must be a whole number'),
    "impossible number": (f"{TRAIN}env_steps = -5\n", r"runs\[1\]: env_steps=-5: must be a whole number of at least 1"),
    "unknown unit": (
        f"{TRAIN}budget = {{ seconds = 5 }}\n",
        r"unknown unit of a budget 'seconds': did you mean 'cpu",
    ),
    "seeds": (f"{TRAIN}seeds = 0\n", r"runs\[1\].seeds=0: must be how many, at least 1, or a list"),
    "unknown setting": (
        f"{TRAIN}set = {{ num_env = 4 }}\n",
        r"runs\[1\].set: unknown config field 'num_env': did you",
    ),
    "setting of another type": (
        f'{TRAIN}set = {{ num_envs = "x" }}\n',
        r'runs\[1\].set: config.num_envs="x": must be',
    ),
    "no grid": (f"{TRAIN}grid = {{ num_envs = 4 }}\n", r"runs\[1\].grid.num_envs=4: must be a list of values"),
    "set and grid": (
        f"{TRAIN}set = {{ num_envs = 4 }}\ngrid = {{ num_envs = [4] }}\n",
        r"runs\[1\].grid.num_envs: is in set, too; leave it out there",
    ),
    "unknown group": (
        f'{TRAIN}name = "first"\n{TRAIN}inputs = {{ model = "frist" }}\n',
        r"runs\[2\].inputs.model: unknown group of runs 'frist': did you mean 'first'",
    ),
    "two groups of one name": (
        f'{TRAIN}name = "a"\n{TRAIN}name = "a"\n',
        r"runs\[a\].name='a': another group has this",
    ),
    "circle": (
        '[[runs]]\nname = "a"\nkind = "pretrain"\ninputs = { data = "b" }\n'
        '[[runs]]\nname = "b"\nkind = "collect"\ninputs = { policies = "a" }\n',
        r"inputs: groups read each other: \w -> \w -> \w",
    ),
    "no such file": (
        '[[runs]]\nkind = "pretrain"\ngradient_steps = 5\ninputs = { data = { path = "gone" } }\n',
        r"runs\[1\].inputs.data: .*gone: no such file or folder; check the path",
    ),
    "twice the same run": (TRAIN + TRAIN, r"two of its runs are the same, '(.*)' and '\1 \(2\)'; leave one of"),
    "a number of thousands of digits": (f"{TRAIN}env_steps = {'9' * 5000}\n", r"not valid TOML \(.*digits"),
    "one setting twice": (
        f'{TRAIN}[runs.set]\n"world_model.horizon" = 3\nworld_model = {{ horizon = 5 }}\n',
        r"runs\[1\].set: 'world_model.horizon' is there twice",
    ),
    "no table": (f"{TRAIN}budget = 5\n", r"runs\[1\].budget=5: must be an object of named values"),
    "a tuning of nothing": (f'{TRAIN}kind = "tune"\n', r"runs\[1\]: space: is missing; name the settings"),
    "half a range": (
        f'{TRAIN}kind = "tune"\nspace = {{ gamma = {{ low = 0.9 }} }}\n',
        r"runs\[1\].space.gamma lacks 'high': add it",
    ),
    "unknown scale": (
        f'{TRAIN}kind = "tune"\nspace = {{ gamma = {{ low = 0.9, high = 0.99, scale = "lg" }} }}\n',
        r"runs\[1\].space: unknown scale 'lg': did you mean 'log'",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_errors_name_file_key_value_and_remedy(tmp_path, wrong):
    text, message = WRONG[wrong]
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=message) as error:
        load_file(path)
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).count(str(path)) == 1


STUDY = """
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.sweeps.graph import Study

def study():
    return Study(name="coded", description="by code", specs=(
        RunSpec.create(task="cartpole", simulator="warp", algorithm=helper.ALGORITHM),))
"""


def test_a_python_file_is_run_where_its_user_says_so_and_never_from_stored_runs(tmp_path):
    (tmp_path / "helper.py").write_text('ALGORITHM = "shac"\n')
    study = load_file(write(tmp_path, f"import helper\n{STUDY}", "coded.py"))
    assert (study.name, study.specs[0].algorithm) == ("coded", "shac")
    stored = tmp_path / "results" / "runs" / "s" / "abc"
    stored.mkdir(parents=True)
    (stored / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="lies among stored runs"):
        load_file(write(stored, "raise SystemExit", "evil.py"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has no function study\(\); add one"),
        ("def study():\n    return 3\n", r"study\(\) returned int; it must return a"),
        ("import math\n\nx = 1 / 0\n", r"mine.py, line 3: ZeroDivisionError: division by zero"),
        ("def study(:\n", r"mine.py: SyntaxError"),
        (STUDY.replace("helper.ALGORITHM", '"shacc"'), r"mine.py: unknown algorithm 'shacc': did you mean 'shac'"),
        (STUDY.replace("coded", "hopper").replace("helper.ALGORITHM", '"ppo"'), r"name='hopper'.*choose another"),
    ],
)
def test_errors_of_python_files(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        load_file(write(tmp_path, text, "mine.py"))


def test_a_file_that_is_not_there_says_how_to_begin(tmp_path):
    with pytest.raises(UsageError, match="no such study file; `pwm-bench study init"):
        load_file(tmp_path / "mine.toml")
