"""Tables, figures and exports of several studies, and of parts of them."""

from __future__ import annotations

import pandas as pd
import pytest

from pwm_bench.cli.main import main
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.frames import members_frame
from pwm_bench.store.results import Results
from pwm_bench.store.schema import Member
from pwm_bench.store.selection import Selection
from tests.pwm_bench.store.factories import write_run


@pytest.fixture
def root(tmp_path):
    """Two studies of single tasks, and one of a run that trained three tasks."""
    at = {"steps": [0, 100], "seconds": [0.0, 1.0]}
    write_run(tmp_path, "aaa", study="one", curves=[[0.0, 1.0], [0.0, 3.0]], **at)
    write_run(tmp_path, "bbb", study="one", task="ant", simulator="mjx", curves=[[0.0, 5.0]], **at)
    write_run(tmp_path, "ccc", study="two", algorithm="ppo", curves=[[0.0, 7.0]], **at)
    directory = write_run(tmp_path, "ddd", study="many", simulator="suite", algorithm="pwm-multitask",
                          curves=[[0.0, 10.0], [0.0, 20.0], [0.0, 30.0]], **at)  # fmt: skip
    record = directory.read()
    record.members = [
        Member(seed=0, task=task, untrained_return=0.0, final_return=1.0)
        for task in ("mw-reach", "mw-push", "cup-catch")
    ]
    directory.write(record)
    return tmp_path


def finals(root, *studies, **names) -> dict[tuple[str, str], list[float]]:
    frame = members_frame(Selection(studies=studies, **names).load(Results(root)).runs)
    return frame.groupby(["task", "algorithm"])["final"].apply(list).to_dict()


def test_studies_come_together(root):
    assert finals(root, "one", "two") == {("ant", "shac"): [5.0], ("hopper", "ppo"): [7.0], ("hopper", "shac"): [1, 3]}
    assert Selection(studies=("one", "two")).title == "one + two"


def test_parts_of_studies(root):
    assert finals(root, "one", "two", tasks=("hopper",), algorithms=("shac",)) == {("hopper", "shac"): [1.0, 3.0]}
    assert finals(root, "one", simulators=("mjx",)) == {("ant", "shac"): [5.0]}


def test_some_tasks_of_a_run_that_trained_several(root):
    """The members that are left keep their own curves."""
    found = finals(root, "many", tasks=("cup-catch", "mw-reach"))
    assert found == {("cup-catch", "pwm-multitask"): [30.0], ("mw-reach", "pwm-multitask"): [10.0]}


@pytest.mark.parametrize(
    ("studies", "names", "message"),
    [
        ((), {}, "STUDY is missing: name at least one"),
        (("one", "one"), {}, "study 'one': named twice"),
        (("on",), {}, "unknown study 'on': did you mean 'one'"),
        (("one", "two"), {"tasks": ("hoper",)}, r"unknown task of study 'one \+ two' 'hoper': did you mean 'hopper'"),
        (("one",), {"algorithms": ("ppo",)}, "unknown algorithm of study 'one' 'ppo': choices: shac"),
        (("one",), {"tasks": ("hopper",), "simulators": ("mjx",)}, "has no run of that task, simulator and algorithm"),
    ],
)
def test_bad_names(root, studies, names, message):
    with pytest.raises(UsageError, match=message):
        Selection(studies=studies, **names).load(Results(root))


def test_the_commands_agree(capsys, root):
    where = ["--results", str(root), "--task", "hopper", "--algorithm", "ppo"]
    assert main(["table", "one", "two", *where, "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "ppo" in lines[1]
    assert main(["results", "export", "one", "two", *where, "--output", str(root / "out")]) == 0
    for name, rows in (("members", 1), ("episodes", 4)):
        frame = pd.read_parquet(root / "out" / f"{name}.parquet")
        assert len(frame) == rows
        assert set(frame["run_id"]) == {"ccc"}
    assert main(["results", "export", "many", "--task", "mw-push", "--results", str(root), "--output", str(root)]) == 0
    episodes = pd.read_parquet(root / "episodes.parquet")
    assert episodes.loc[episodes["index"] == 1, "return"].tolist() == [19.0, 21.0]
    assert set(episodes["study"]) == {"many"}
