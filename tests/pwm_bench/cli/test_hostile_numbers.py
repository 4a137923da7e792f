"""Records and logs of someone who knows of their checksums: what is of no sensible type or size is named."""

from __future__ import annotations

import json
import math

import pytest

from pwm_bench.cli.main import main
from tests.pwm_bench.store.factories import edit, write_run

HUGE = 10**400
RECORDS = {
    "seed": lambda r: r["members"][0].update(seed=10**30),
    "member's task": lambda r: r["members"][0].update(task=""),
    "steps": lambda r: r["counts"].update(env_steps="one"),
    "huge steps": lambda r: r["counts"].update(env_steps=HUGE),
    "negative steps": lambda r: r["counts"].update(gradient_steps=-1),
    "time": lambda r: r["clocks"].update(train=math.inf),
    "memory": lambda r: r["memory"].update(resident=HUGE),
    "schedule": lambda r: r.update(schedule={"unit": "env_steps", "length": HUGE}),
    "spec's episodes": lambda r: r["spec"].update(evaluation_episodes=math.nan),
    "spec's steps": lambda r: r["spec"].update(env_steps=None),
    "spec's task": lambda r: r["spec"].update(task=["hopper"]),
    "no task": lambda r: r["spec"].update(task=""),
    "start": lambda r: r.update(started_at=1),
}
LINES = {
    "steps": {"env_steps": 10**30}, "gradient steps": {"gradient_steps": "1"}, "time": {"train_seconds": 10**30},
    "index": {"index": [["a", "b"], [1, 2]]}, "index of names": {"index": {"[/]": 1}}, "a key more": {"extra": 1},
    "returns": {"returns": [["a", 1]]}, "lengths": {"lengths": [[1.5, -2]]},
}  # fmt: skip
COMMANDS = (
    ("results", "ls", "s"), ("results", "show", "aaaa"), ("table", "s"), ("table", "s", "--format", "csv"),
    ("table", "s", "--match", "none", "--columns", "task"), ("results", "export", "s"),
)  # fmt: skip


@pytest.fixture
def run(tmp_path):
    write_run(tmp_path, "bbbb", curves=[[0.0, 6.0]], steps=[0, 10], seconds=[0.0, 1.0], first_seed=4)
    return write_run(tmp_path, "aaaa", curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0])


@pytest.mark.parametrize("place", RECORDS)
def test_a_record_of_another_form_is_damaged(run, tmp_path, capsys, place):
    edit(run.record_file, RECORDS[place])
    for words in COMMANDS:
        code = main([*words, "--results", str(tmp_path)])
        said = capsys.readouterr()
        named = "left out: " in said.err or said.err.startswith("error: ") or "damaged" in said.out
        text = "".join((said.out + said.err).split())  # a long path may be wrapped within the id
        assert (named and "aaaa" in text) or words[:2] == ("results", "ls"), (words, said)
        assert code == (2 if words[1] == "show" else 0), words


@pytest.mark.parametrize("place", LINES)
def test_lines_of_another_form_are_left_out_of_exports(run, tmp_path, capsys, place):
    first, second = run.evaluations.path.read_text().splitlines()
    run.evaluations.path.write_text(f"{first}\n{json.dumps(json.loads(second) | LINES[place])}\n")
    assert main(["results", "export", "s", "--results", str(tmp_path)]) == 0
    assert str(run.path) in capsys.readouterr().err
    assert main(["table", "s", "--format", "csv", "--results", str(tmp_path)]) == 0
