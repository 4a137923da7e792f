from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest
import torch

import pwm_bench
from pwm_bench import envs
from pwm_bench.cli.main import main
from pwm_bench.envs.devices import remark
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.store.results import Results
from pwm_bench.store.seal import seal, without_seal
from pwm_bench.sweeps.devices import settle_devices
from pwm_bench.sweeps.sweep import Item
from tests.pwm_bench.cli.toy_cli import shared_study, toy_spec
from tests.pwm_bench.conftest import ROOT
from tests.pwm_bench.store.factories import write_run
from tests.rehearsal.one_gpu import gpus

pytestmark = pytest.mark.usefixtures("toys")

RUN = ("run", "--task", "point_mass", "--simulator", "toy", "--algorithm", "fake", "--env-steps", "200")


def refused(capsys, *arguments, code: int = 2) -> str:
    """Runs a command that must end with one line on stderr, notes aside, and exit code 2. Returns the line."""
    assert main([str(argument) for argument in arguments]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "--task is missing"),
        (("run", "--task", "hopper"), "--algorithm is missing"),
        (("run", "--task", "hoper", "--algorithm", "shac"), "unknown task 'hoper': did you mean 'hopper'"),
        (("run", "--task", "hopper", "--algorithm", "shack"), "unknown algorithm 'shack': did you mean 'shac'"),
        (("run", "--task", "hopper", "--algorithm", "SHAC"), "unknown algorithm 'SHAC': did you mean 'shac'"),
        (("run", "--task", "hopper", "--algorithm", "shac", "--simulator", "wrap"), "unknown simulator 'wrap'"),
        ((*RUN, "--set", "learning_rat=1"), "unknown config field 'learning_rat': did you mean 'learning_rate'"),
        ((*RUN, "--set", "learning_rate=-1"), "learning_rate=-1.0: must be positive"),
        ((*RUN, "--set", "learning_rate"), "learning_rate: must be KEY=VALUE"),
        ((*RUN, "--simulator-set", "substep=2"), "unknown option of simulator 'toy' 'substep'"),
        ((*RUN, "--seeds", "0"), "--seeds=0: must be how many, at least 1, or a list"),
        ((*RUN, "--env-steps", "-5"), "--env-steps=-5.0: must not be negative"),
        ((*RUN, "--precision", "float16"), "unknown precision 'float16': did you mean"),
        ((*RUN, "--device", "tpu"), "device=tpu: must be auto, cpu, cuda"),
        ((*RUN, "--device", "cuda:x"), "device=cuda:x: must be auto, cpu, cuda"),
        ((*RUN, "--checkpoint-seconds", "-1"), "--checkpoint-seconds=-1.0: must not be negative"),
        ((*RUN, "--progress", "jsn"), "unknown progress 'jsn': did you mean 'json'"),
        ((*RUN, "--study", "../up"), "study='../up': must be a plain folder name"),
        ((*RUN, "--study", "x" * 300), "must be at most 200 bytes long"),
        (("run", "nowhere.json"), "nowhere.json: cannot be read (No such file or directory)"),
        (("run", "nowhere.json", "--task", "ant"), "--task: the spec file says what to run"),
        (("sweep", "quikstart"), "unknown study 'quikstart': did you mean 'quickstart'"),
        (("sweep", "toys", "--limit", "-1"), "--limit=-1: must not be negative"),
        (("table", "toys"), "holds no runs yet; begin with `pwm-bench sweep quickstart`"),
        (("table", "toys", "--format", "latx"), "unknown format 'latx': did you mean 'latex'"),
        (("list", "task"), "unknown kind of list 'task': did you mean 'tasks'"),
        (("list", "runs"), "holds no runs yet"),
        (("bench", "simulator"), "unknown benchmark 'simulator': did you mean 'simulators'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(capsys, tmp_path, arguments, message):
    folder = () if arguments[0] == "bench" else ("--results", tmp_path / "results")
    assert message in refused(capsys, *arguments, *folder)
    assert not list(tmp_path.rglob("run.json"))


def test_a_path_that_is_too_long_is_one_line(capsys):
    assert "File name too long; choose a shorter path" in refused(capsys, "results", "ls", "--results", "/d" * 3000)


@pytest.mark.parametrize("arguments", [(), ("walk",), ("sweep",), ("run", "--tsk", "ant"), ("run", "--seeds", "many")])
def test_what_does_not_parse_is_code_2(capsys, arguments):
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_was_chosen_is_a_note_on_stderr_once(capsys, tmp_path):
    remark.cache_clear()
    with gpus(torch_sees=0):
        assert main([*RUN, "--results", str(tmp_path), "--evaluations", "2", "--progress", "none"]) == 0
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "note: device of toy: cpu ('toy' computes on CPUs only)"
    assert not any(line.startswith("note: ") for line in others)


def test_a_sweep_says_once_for_all_runs_what_they_compute_on(capsys, tmp_path):
    remark.cache_clear()
    with gpus(torch_sees=0):
        assert main(["sweep", "quickstart", "--limit", "0", "--results", str(tmp_path)]) == 0
        assert capsys.readouterr().err == ""
        items = [Item(RunSpec.create(task="hopper", simulator=name, algorithm="ppo", env_steps=64), "begin")
                 for name in ("warp", "mjx", "warp")]  # fmt: skip
        settle_devices(items)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: device of mjx, warp: cpu (torch ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_gpu_is_refused_before_anything_is_written(capsys, tmp_path):
    expected = f"device=cuda: torch {torch.__version__} sees no GPU here; use --device cpu"
    hopper = ("run", "--task", "hopper", "--algorithm", "ppo")
    assert expected in refused(capsys, *hopper, "--device", "cuda", "--results", tmp_path)
    assert expected in refused(capsys, "sweep", "quickstart", "--device", "cuda", "--results", tmp_path)
    expected = "device=cuda: simulator 'toy' runs on cpu"
    assert expected in refused(capsys, *RUN, "--device", "cuda", "--results", tmp_path)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("command", [RUN, ("sweep", "toys"), ("sweep", "quickstart")])
def test_an_unwritable_results_folder_is_refused(capsys, tmp_path, command):
    (tmp_path / "results").write_text("a file in the way")
    line = refused(capsys, *command, "--results", tmp_path / "results")
    assert "results: cannot be written" in line
    assert "--results" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        (b"\x80\xff", "not a text file"),
        ('{"task": "ant"}', "lacks"),
    ],
)
def test_a_spec_file_that_is_none(capsys, tmp_path, content, message):
    file = tmp_path / "spec.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in refused(capsys, "run", file, "--results", tmp_path)


def interrupted_run(tmp_path):
    """A run directory with a checkpoint in the middle of training."""
    assert main([*RUN, "--results", str(tmp_path), "--set", "fault=raise", "--checkpoint-seconds", "0"]) == 1
    (directory,) = Results(tmp_path).runs("single")
    assert directory.status() == "failed"
    assert (directory.checkpoint / "state.json").exists()
    return directory


@pytest.mark.parametrize("how", ["foreign", "truncated", "pickle"])
def test_a_bad_checkpoint_is_refused_and_nothing_overwritten(capsys, tmp_path, how):
    directory = interrupted_run(tmp_path)
    capsys.readouterr()
    state = directory.checkpoint / "state.json"
    tensors = next(directory.checkpoint.glob("*.safetensors"))
    if how == "foreign":
        values = without_seal(json.loads(state.read_text())) | {"spec": "ffffffffffff"}
        state.write_text(seal(values))
        message = "checkpoint of run ffffffffffff"
    elif how == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:100])
        message = "truncated"
    else:
        torch.save({"weights": torch.ones(1)}, tensors)
        message = "Python pickle"
    before = {file: file.read_bytes() for file in directory.path.rglob("*") if file.is_file() and file.name != "lock"}
    assert message in refused(capsys, "run", directory.spec_file, "--results", tmp_path)
    assert before == {file: file.read_bytes() for file in before}


def test_run_says_how_it_ended_and_where_it_lies(capsys, tmp_path):
    assert main([*RUN, "--seeds", "5,6", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    (directory,) = Results(tmp_path).runs("single")
    assert directory.read().spec["seeds"] == [5, 6]
    for expected in (
        "seed 5: return",
        "untrained",
        "time: train",
        f"run: {directory.path}",
        f"next:\n  pwm-bench table single --results {tmp_path}",
    ):
        assert expected in text
    assert main([*RUN, "--seeds", "5,6", "--results", str(tmp_path)]) == 0
    assert "Finished before; nothing to do." in capsys.readouterr().out


def test_a_spec_file_runs_again_to_the_same_numbers(capsys, tmp_path):
    assert main([*RUN, "--set", "inner.width=9", "--results", str(tmp_path / "a")]) == 0
    (first,) = Results(tmp_path / "a").runs("single")
    assert main(["run", str(first.spec_file), "--results", str(tmp_path / "b"), "--progress", "none"]) == 0
    (second,) = Results(tmp_path / "b").runs("single")
    assert second.path.name == first.path.name
    assert second.read().spec["config"]["inner"]["width"] == 9
    assert [m.final_return for m in second.read().members] == [m.final_return for m in first.read().members]


def test_write_spec_writes_and_runs_nothing(capsys, tmp_path):
    file = tmp_path / "spec.json"
    assert main([*RUN, "--write-spec", str(file), "--results", str(tmp_path / "r")]) == 0
    assert "start it with: pwm-bench run" in capsys.readouterr().out
    assert json.loads(file.read_text())["env_steps"] == 200
    assert not (tmp_path / "r").exists()
    assert "cannot be written" in refused(capsys, *RUN, "--write-spec", tmp_path / "no" / "spec.json")


def test_a_failed_run_points_to_its_traceback(capsys, tmp_path):
    assert main([*RUN, "--set", "fault=raise", "--results", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "failed: RuntimeError: the fake was told to fail" in text
    assert "traceback.txt" in text


def test_a_sweep_ends_with_table_path_and_advice(start, tmp_path):
    process = start("sweep", "toys", "--results", tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert errors == ""
    for expected in (
        "3 runs, 0 done before, 3 to do now", "toys: return", "killed by SIGKILL", f"results: {tmp_path}/runs/toys",
        f"pwm-bench table toys --match none --results {tmp_path}",
        f"pwm-bench table toys --trace --results {tmp_path}",
        f"pwm-bench sweep toys --results {tmp_path} --retry" if "failed" in output else "",
    ):  # fmt: skip
        assert expected in output, output
    process = start("sweep", "toys", "--results", tmp_path, "--limit", "0")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "3 runs, 2 done before, 0 to do now" in output


def test_a_dry_run_shows_what_is_left_and_touches_nothing(capsys, tmp_path):
    arguments = ["sweep", "shared", "--dry-run", "--results", str(tmp_path)]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert text.count("to do") == len(shared_study().specs)
    assert "no finished run tells how long they take" in text
    assert not (tmp_path / "runs").exists()
    assert main([*arguments[:-1], str(tmp_path / "not" / "there")]) == 0
    assert capsys.readouterr().out == text
    assert not (tmp_path / "not").exists()
    first, *rest = shared_study().specs
    carry_out(first, Results(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert text.count("to do") == len(rest)
    assert f"{len(rest)} of {len(rest) + 1} runs are left" in text
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("format", ["rich", "markdown", "latex", "csv"])
def test_table_prints_every_format(capsys, tmp_path, format):
    write_run(tmp_path, "aaa", curves=[[0.0, 7.25]], steps=[0, 10], seconds=[0.0, 1.0])
    assert main(["table", "s", "--format", format, "--trace", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "7.25" in text
    assert "aaa" in text
    assert "unknown study 'r'" in refused(capsys, "table", "r", "--results", tmp_path)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("tasks", "hopper"),
        ("simulators", "implicit"),
        ("algorithms", "shac"),
        ("studies", "quickstart"),
        (None, "algorithms"),
    ],
)
def test_list(capsys, kind, expected):
    assert main(["list", *([kind] if kind else [])]) == 0
    assert expected in capsys.readouterr().out


def test_list_runs_shows_damaged_ones_too(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    write_run(tmp_path, "aaa", curves=[[0.0, 7.25]], steps=[0, 10], seconds=[0.0, 1.0])
    write_run(tmp_path, "bbb", curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0], status="running")
    damaged = write_run(tmp_path, "ccc", curves=[[0.0, 1.0]], steps=[0, 10], seconds=[0.0, 1.0])
    damaged.record_file.write_text("[")
    assert main(["list", "runs", "--results", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    by_run = {row[1]: row for row in rows if row[0] == "s"}
    assert by_run["aaa"][-2:] == ["7.25", "ok"]
    assert by_run["bbb"][-1] == "killed"
    assert by_run["ccc"][-1] == "damaged"


def test_doctor_knows_the_machine(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["doctor", "--look", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for expected in (
        "Devices",
        "cores" if "cores" in text else "core",
        "torch",
        "Warp kernels",
        "mujoco_c",
        "can be written",
    ):
        assert expected in text
    matrix = {
        line.split()[0]: line for line in text.splitlines() if line.strip().startswith(("warp ", "mjx ", "mujoco_c "))
    }
    assert "implicit" in matrix["warp"]
    assert "implicit" in matrix["mjx"]
    assert "implicit" not in matrix["mujoco_c"]
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--look", "--results", str(tmp_path / "file")]) == 1
    assert "cannot be written" in capsys.readouterr().out


def test_doctor_tries_every_simulator_on_every_device(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    quick = {name: envs.SIMULATORS.own[name] for name in ("warp", "mujoco_c")}  # others take long, or cannot run it
    monkeypatch.setattr(envs.SIMULATORS, "own", quick)
    with gpus(torch_sees=1, warp_sees=0, jax_sees=0):
        assert main(["doctor", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    tried = [line.split() for line in text.partition("A step and a gradient")[2].splitlines() if line.startswith("  ")]
    assert [row[:4] for row in tried[1:4]] == [
        ["warp", "cpu", "✓", "✓"],
        ["warp", "cuda:0", "–", "–"],
        ["mujoco_c", "cpu", "✓", "–"],
    ]
    assert "sees none; to use one: pip install 'pwm-bench[gpu]'" in text  # not taken for rich's markup
    assert "cuda:0  Rehearsed GPU, 16 GiB" in text


def test_doctor_shows_what_a_device_raises(capsys, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("CUDA error: no kernel image\nand a long explanation")

    monkeypatch.setattr(envs, "make", broken)
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["doctor", "--results", str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert "RuntimeError: CUDA error: no kernel image" in text
    assert "long explanation" not in text


def test_bench_hands_over(monkeypatch):
    calls = []
    module = type(sys)("pwm_bench.bench.simulators")
    module.main = lambda *, quick=False: calls.append(quick)
    monkeypatch.setitem(sys.modules, "pwm_bench.bench.simulators", module)
    assert main(["bench", "simulators", "--quick"]) == 0
    assert main(["bench", "simulators"]) == 0
    assert calls == [True, False]


def test_the_default_results_folder_comes_from_the_environment(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PWM_BENCH_RESULTS", str(tmp_path / "elsewhere"))
    assert main([*RUN]) == 0
    assert Results(tmp_path / "elsewhere").studies() == ["single"]


def test_module_entry_point():
    done = subprocess.run([sys.executable, "-m", "pwm_bench", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"pwm-bench {pwm_bench.__version__}\n")


def test_toy_spec_is_what_the_command_line_makes(tmp_path):
    """`run` with options and `RunSpec.create` mean the same run."""
    file = tmp_path / "spec.json"
    arguments = [*RUN, "--seeds", "2", "--set", "learning_rate=1", "--write-spec", str(file)]
    assert main(arguments) == 0
    written = json.loads(file.read_text())
    made = toy_spec(
        env_steps=200, overrides={"learning_rate": 1.0}, evaluations=11, evaluation_episodes=16, device="auto"
    )
    assert written == {"kind": "train", **made.to_dict()}


def test_what_a_disk_refuses_is_said_in_one_line(capsys, tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(errno.EACCES, "Permission denied", "/data/runs")

    monkeypatch.setattr(Results, "studies", refused)
    assert main(["results", "ls", "--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: /data/runs: Permission denied; check its permissions\n"
