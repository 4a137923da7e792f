"""Names in a results folder that someone else has made: nothing that they hold is obeyed, run or taken in."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys

import pytest

from pwm_bench.analysis.report.build import Options, build
from pwm_bench.cli.main import main
from pwm_bench.cli.showing import terminal
from pwm_bench.cli.streams import GuardedStream
from pwm_bench.runs.failures import classify
from pwm_bench.store.results import Results
from pwm_bench.store.selection import Selection
from pwm_bench.text import printable, shows_as_it_is
from tests.pwm_bench.store.factories import edit, write_run

CLEAR = "\x1b[2J\x1b]0;owned\x07"
"""Clears a terminal and gives it another title."""
PLACES = {
    "task": lambda record: record["spec"].update(task=CLEAR),
    "algorithm": lambda record: record["spec"].update(algorithm=CLEAR),
    "reason": lambda record: record.update(reason=CLEAR),
    "a detail": lambda record: record.update(details={CLEAR: 1}),
    "device": lambda record: record["provenance"].update(device=f"a{CLEAR}"),
    "half a character": lambda record: record.update(reason="\ud800"),
    "text from right to left": lambda record: record.update(reason="\u202egnp.exe"),
}
COMMANDS = [
    ("results", "ls"), ("results", "ls", "s"), ("results", "show", "aaaa"), ("results", "verify"), ("table", "s"),
    ("table", "s", "--format", "csv"), ("results", "export", "s", "--format", "csv"), ("list", "runs"), ("report", "s"),
]  # fmt: skip


def one_run(root, name="aaaa", **options):
    return write_run(root, name, curves=[[0.0, 5.0]], steps=[0, 10], seconds=[0.0, 1.0], **options)


def is_clean(text: str) -> bool:
    return shows_as_it_is(re.sub("\x1b\\[[0-9;]*m", "", text))  # but for colours of our own


@pytest.mark.parametrize("place", PLACES)
def test_a_record_that_would_move_the_cursor_is_damaged(tmp_path, capsys, place):
    one_run(tmp_path, "bbbb", first_seed=1)
    edit(one_run(tmp_path).record_file, PLACES[place])
    for words in COMMANDS:
        main([*words, "--results", str(tmp_path)])
        said = capsys.readouterr()
        assert is_clean(said.out + said.err), words
    assert main(["table", "s", "--format", "csv", "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "holds control characters, or halves of characters" in said or "not a run record" in said


def test_names_of_folders_are_spelt_out(tmp_path, capsys):
    directory = one_run(tmp_path)
    study = directory.path.parent
    study.rename(study.with_name(f"s{CLEAR}"))
    (tmp_path / "runs" / f"s{CLEAR}" / f"c{CLEAR}").mkdir()
    (tmp_path / "runs" / f"s{CLEAR}" / f"c{CLEAR}" / "run.json").write_text("{")
    for words in [
        ("results", "ls"),
        ("results", "ls", "--all"),
        ("results", "verify"),
        ("list", "runs"),
        ("table", "t"),
    ]:
        main([*words, "--results", str(tmp_path)])
        said = capsys.readouterr()
        assert is_clean(said.out + said.err), words
        assert "\\x1b[2J" in said.out + said.err, words


@pytest.mark.parametrize("study", ["..", "s/../s", "/etc", ".", "elsewhere", "x" * 5000])
def test_a_study_is_a_folder_among_the_runs_and_no_other_place(tmp_path, capsys, study):
    """`report /etc` would write a page beside it."""
    root = tmp_path / "results"
    one_run(root)
    one_run(tmp_path / "other", study="elsewhere")
    name = str(tmp_path / "other" / "runs" / study) if study == "elsewhere" else study
    before = set(tmp_path.rglob("*"))
    for words in ("table", "plot", "report", ("results", "export"), ("results", "ls"), ("results", "verify")):
        words = (words,) if isinstance(words, str) else words
        assert main([*words, name, "--results", str(root)]) == 2, words
        assert capsys.readouterr().err.startswith("error: "), words
    assert set(tmp_path.rglob("*")) == before


def test_links_to_themselves_are_passed_over(tmp_path, capsys):
    one_run(tmp_path)
    for place in (tmp_path / "runs" / "self", tmp_path / "runs" / "s" / "self"):
        place.symlink_to(place)
    for words in [*COMMANDS, ("results", "merge", str(tmp_path))]:
        place = tmp_path / "merged" if "merge" in words else tmp_path
        assert main([*words, "--results", str(place)]) == (1 if words == ("results", "verify") else 0), words
    assert "Traceback" not in capsys.readouterr().err


def test_a_figure_of_damaged_runs_alone_is_an_error(tmp_path, capsys):
    file = one_run(tmp_path).record_file
    file.write_text("{")
    assert main(["plot", "s", "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: no run can be drawn: {file}: damaged")


def test_a_console_shows_its_own_codes_and_no_others(monkeypatch):
    stream = GuardedStream(io.StringIO())
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = terminal()
    console.print(f"a{CLEAR[:-1]}b\u202e", style="bold")
    print(f"c{CLEAR}d")
    assert stream.getvalue() == f"\x1b[1ma{printable(CLEAR[:-1])}b\\u202e\x1b[0m\nc{printable(CLEAR)}d\n"


def test_a_failure_is_recorded_without_what_a_terminal_obeys():
    assert classify(RuntimeError(f"x{CLEAR}"))[1] == f"RuntimeError: x{printable(CLEAR)}"


def test_a_report_takes_in_nothing_from_outside_its_runs(tmp_path):
    secret = tmp_path / "private" / "secret.png"
    secret.parent.mkdir()
    secret.write_bytes(b"a key")
    root = tmp_path / "results"
    run = one_run(root, "aaaa", status="failed", reason="no").path
    (run / "video.png").symlink_to(secret)
    (run / "traceback.txt").symlink_to(secret)
    own = one_run(root, "bbbb", first_seed=1).path
    (own / "own.png").write_bytes(b"a picture")
    away = one_run(root, "cccc", first_seed=2)
    edit(away.record_file, lambda record: record.update(id="../../../private"))
    drawn = root / "figures" / "gradients-s" / "dddd"
    drawn.mkdir(parents=True)
    (drawn / "a.svg").symlink_to(secret)
    page = build(Results(root), Selection(studies=("s",)), Options())
    assert "YSBwaWN0dXJl" in page  # a picture
    assert "YSBrZXk=" not in page  # a key
    assert "a key" not in page
    assert "holds the record of run ../../../private" in page


def test_commands_that_are_suggested_can_be_copied_into_a_shell(tmp_path, capsys):
    """Names with blanks, quotes and what a shell would run, in the messages that tell what to type."""
    name = "x; touch owned $(id) 'q'"
    one_run(tmp_path, study=name)
    one_run(tmp_path, "bbbb", study=name, task="hopper")  # the same seed: the remedy has a command
    spec = tmp_path / f"{name}.json"
    spec.write_text(json.dumps({"kind": "train"}))
    assert main(["table", name, "--results", str(tmp_path)]) == 2
    commands = re.findall(r"pwm-bench results remove .*", capsys.readouterr().err)
    assert commands
    words = shlex.split(commands[0].rstrip("`"))
    assert f"{name}/bbbb" in words or f"{name}/aaaa" in words
    assert main(["study", "init", str(tmp_path / f"{name}.toml")]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if "pwm-bench" in line]
    assert [shlex.split(line)[-1] for line in lines] == [str(tmp_path / f"{name}.toml")] * 2
