"""A seed counts once: duplicates are refused with a remedy that works, and more seeds are those that are missing."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out
from pwm_bench.store.frames import load_study, members_frame
from pwm_bench.store.inputs import find_input
from pwm_bench.store.results import Results
from pwm_bench.store.schema import RunRecord
from pwm_bench.sweeps.missing_seeds import runs_for
from tests.pwm_bench.cli.toy_cli import toy_spec
from tests.pwm_bench.store.factories import write_run

FLAT = {"steps": [0, 10], "seconds": [0.0, 1.0]}


def episodes(results: Results, study: str) -> dict[int, list]:
    """Seed -> returns of every episode of every evaluation."""
    found = {}
    for directory in results.runs(study):
        seeds = json.loads(directory.record_file.read_text())["spec"]["seeds"]
        for index, seed in enumerate(seeds):
            assert seed not in found
            found[seed] = [line["returns"][index] for line in directory.evaluations.read()]
    return found


def test_five_seeds_after_three_are_five_at_once(tmp_path, toys):
    results = Results(tmp_path)
    for count in (3, 5):
        for spec in runs_for([toy_spec(seeds=tuple(range(count)), study="grown")], results):
            carry_out(spec, results)
    (at_once,) = runs_for([toy_spec(seeds=tuple(range(5)), study="at_once")], results)
    carry_out(at_once, results)
    grown = episodes(results, "grown")
    assert sorted(len(json.loads(run.record_file.read_text())["members"]) for run in results.runs("grown")) == [2, 3]
    assert grown == episodes(results, "at_once")  # to the bit
    scores = [summary["final"].sort_values().tolist() for summary in (
        members_frame(load_study(results, study).runs) for study in ("grown", "at_once")
    )]  # fmt: skip
    assert scores[0] == scores[1]


def test_what_is_there_is_not_done_again(tmp_path, toys):
    results = Results(tmp_path)
    wanted = toy_spec(seeds=(0, 1, 2), study="s")
    assert runs_for([wanted], results) == [wanted]
    first = toy_spec(seeds=(1, 7), study="s")
    carry_out(first, results)
    parts = runs_for([wanted, toy_spec(seeds=(1,), study="s"), toy_spec(env_steps=800, seeds=(1,), study="s")], results)
    assert [part.seeds for part in parts] == [(1, 7), (0, 2), (1,)]  # the last with another budget
    assert parts[0] == first
    assert [part.seeds for part in runs_for([toy_spec(seeds=(1,), study="other")], results)] == [(1,)]


def test_a_run_that_is_taken_as_it_is_still_knows_what_it_reads(tmp_path, toys):
    results, file = Results(tmp_path / "r"), tmp_path / "tuning.json"
    file.write_text("{}")
    reads = {"tuning": find_input(file, "tuning")}
    begun = toy_spec(seeds=(0, 1), study="s", inputs=reads)
    with results.run("s", begun.id).lock():
        results.run("s", begun.id).write(
            RunRecord(kind="train", id=begun.id, study="s", spec=begun.to_dict(), status="killed", started_at="",
                      updated_at="")
        )  # fmt: skip
    kept, rest = runs_for([toy_spec(seeds=(0, 1, 2), study="s", inputs=reads)], results)
    assert (kept, rest.seeds) == (begun, (2,))
    assert kept.open_inputs("tuning") == [file]


@pytest.mark.parametrize("command", ["table", "plot", "report", "results export", "results verify"])
def test_a_seed_that_is_there_twice_is_refused_with_a_remedy_that_works(tmp_path, capsys, command):
    write_run(tmp_path, "aaa", curves=[[0.0, 1.0]], **FLAT)
    write_run(tmp_path, "bbb", curves=[[0.0, 1.0], [0.0, 2.0]], **FLAT)
    arguments = [*command.split(), "s", "--results", str(tmp_path)]
    assert main(arguments) == (1 if "verify" in command else 2)
    shown = capsys.readouterr()
    said = " ".join((shown.out + shown.err).split())
    assert "seed 0 of shac on hopper in warp is there twice, in the runs s/aaa and s/bbb" in said
    remedy = re.search(r"`(pwm-bench results remove .*?)`", said)[1]
    assert main(shlex.split(remedy)[1:]) == 0
    assert "removed/s/aaa" in capsys.readouterr().out
    assert (tmp_path / "removed" / "s" / "aaa" / "run.json").exists()  # nothing is lost
    frame = members_frame(load_study(Results(tmp_path), "s").runs)
    assert frame["seed"].tolist() == [0, 1]


def test_one_remedy_for_all_that_is_there_twice(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 1.0]] * 2, **FLAT)
    write_run(tmp_path, "bbb", curves=[[0.0, 1.0]] * 3, first_seed=1, status="killed", **FLAT)
    write_run(tmp_path, "ccc", curves=[[0.0, 1.0]] * 4, **FLAT)
    write_run(tmp_path, "ddd", algorithm="ppo", curves=[[0.0, 1.0]], **FLAT)
    with pytest.raises(UsageError, match="results remove s/bbb s/aaa --results"):
        members_frame(load_study(Results(tmp_path), "s").runs)


def test_what_differs_in_anything_else_is_not_the_same_seed(tmp_path):
    write_run(tmp_path, "aaa", curves=[[0.0, 1.0]], **FLAT)
    write_run(tmp_path, "bbb", curves=[[0.0, 1.0]], config={"gamma": 0.9}, **FLAT)
    write_run(tmp_path, "ccc", curves=[[0.0, 1.0]], task="ant", **FLAT)
    write_run(tmp_path, "ddd", curves=[[0.0, 1.0]], first_seed=1, **FLAT)
    assert len(members_frame(load_study(Results(tmp_path), "s").runs)) == 4


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "give the runs"), (("zzz",), "no such run"), (("aaa", "t/aaa"), "means 2 runs"), (("s/",), "no such run")],
)
def test_removing_refuses_what_it_does_not_know(tmp_path, capsys, names, message):
    for study in ("s", "t"):
        write_run(tmp_path, "aaa", study=study, curves=[[0.0, 1.0]], **FLAT)
    assert main(["results", "remove", *names, "--results", str(tmp_path)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "runs" / "s" / "aaa").exists()
    assert main(["results", "remove", "t/aaa", "--results", str(tmp_path)]) == 0
    assert not (tmp_path / "runs" / "t" / "aaa").exists()
