"""Rows are kept one by one, whoever writes them, and shown as tables."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pwm_bench.bench.ledger import Ledger, as_markdown, as_table, begun, read, shown
from pwm_bench.envs.errors import UsageError
from pwm_bench.store.provenance import collect


@pytest.mark.parametrize("kept", [False, True])
def test_rows_by_table_in_their_order(kept: bool, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "rows.jsonl" if kept else None)
    ledger.add("speed", task="ant", table="of the task", rate=12.5)
    ledger.add("steps", step="speed", status="done")
    ledger.add("speed", task="hopper", rate=None)
    first = {"task": "ant", "table": "of the task", "rate": 12.5}
    assert ledger.tables() == {
        "speed": [first, {"task": "hopper", "rate": None}],
        "steps": [{"step": "speed", "status": "done"}],
    }


def test_each_row_is_in_the_file_at_once_and_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    ledger = Ledger(path)
    ledger.add("speed", rate=1)
    assert path.read_text().count("\n") == 1
    with path.open("a") as file:
        file.write('{"table": "speed", "row": {"ra')
    assert ledger.tables() == {"speed": [{"rate": 1}]}


def test_a_file_is_begun_anew_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("of yesterday")
    assert Ledger(path).tables() == {}
    with pytest.raises(UsageError, match="--output"):
        Ledger(tmp_path)


def test_values_for_people() -> None:
    given = ("ant", None, True, 1234567, 1234.56, 12.3456, 0.000123456, -150.4)
    assert [shown(value) for value in given] == ["ant", "", "yes", "1,234,567", "1,235", "12.3", "0.000123", "-150"]


def test_tables_have_a_column_for_each_name_of_any_row() -> None:
    rows = [{"task": "ant", "rate": 1.5}, {"task": "hopper", "block": 32}]
    assert as_markdown(rows).splitlines() == [
        "| task | rate | block |", "| --- | --- | --- |", "| ant | 1.5 |  |", "| hopper |  | 32 |",
    ]  # fmt: skip
    table = as_table("Speed", rows)
    assert [list(column.cells) for column in table.columns] == [["ant", "hopper"], ["1.5", ""], ["", "32"]]


def test_the_first_row_says_what_the_others_belong_to(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    shown_to = Console(file=io.StringIO(), width=200)
    begun(shown_to, file).add("speeds", task="ant")
    tables = read(file)
    assert list(tables) == ["machine", "speeds"]
    (row,) = tables["machine"]
    assert row["machine"] in shown_to.file.getvalue()
    assert row["device"] == "cpu"
    commit = collect("cpu", "float32").git_commit
    assert commit is None or str(row["commit"]).startswith(commit)


def test_headings_wrap_until_the_table_fits_a_terminal() -> None:
    few = [{"task": "ant", "error beside central differences": 1.0}]
    many = [{"task": "ant"} | {f"forward and backward {n}": 1.0 for n in range(7)}]
    for rows, lines in ((few, 1), (many, 4)):
        file = io.StringIO()
        Console(file=file, width=80).print(as_table("", rows))
        shown_lines = [line for line in file.getvalue().split("\n") if line.strip()]
        assert len(shown_lines) == lines + 2  # and a rule and a row
        assert "…" not in file.getvalue()
