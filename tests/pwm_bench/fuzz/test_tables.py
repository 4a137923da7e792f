"""Tables of gradients and published results, damaged: the numbers that were written, an error, or a message."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil

import pandas as pd
import pytest
from pyarrow import parquet

from pwm_bench.analysis.published import curves, numbers
from pwm_bench.envs.errors import UsageError
from pwm_bench.gradients import rows
from pwm_bench.gradients.rows import COLUMNS, FILE, load_rows, write_table
from pwm_bench.runs.job import file_artifact
from pwm_bench.store.results import Results
from pwm_bench.store.schema import RunRecord
from tests.pwm_bench.fuzz import mutations
from tests.pwm_bench.store.factories import edit

INPUTS = pytest.mark.parametrize("inputs", [120, pytest.param(3000, marks=pytest.mark.slow)])


def _write(root, run_id: str = "aaaa") -> None:
    """A finished comparison with a few rows."""
    directory = Results(root).run("gradients-x", run_id)
    with directory.lock():
        written = [
            dict(zip(COLUMNS, ("analytic", "warp", h, -1, "cosine", 0.0, 0.5 / h, 0.1, 0.9), strict=True))
            for h in (1, 2, 4, 8)
        ]
        write_table(directory.path / FILE, written)
        record = RunRecord(kind="compare-gradients", id=run_id, study="gradients-x", spec={"task": "t"}, status="ok",
                           started_at="", updated_at="")  # fmt: skip
        record.artifacts = {"gradients": file_artifact(directory.path, FILE)}
        directory.write(record)


def _altered(frame: pd.DataFrame, chance: random.Random) -> pd.DataFrame:
    """The table with a column or a row replaced, removed, added or exchanged."""
    frame, column = frame.copy(), chance.choice(list(frame))
    return chance.choice([
        lambda: frame.drop(columns=column),
        lambda: frame.assign(extra=1),
        lambda: frame.assign(**{column: [mutations.values(random.Random(0)) for _ in range(len(frame))]}),
        lambda: frame.assign(**{column: chance.choice(["x", "\x1b[2J", 1, 0.5, True, None, 1e308])}),
        lambda: frame.iloc[: chance.randrange(len(frame))],
        lambda: frame.iloc[::-1],
        lambda: frame.rename(columns={column: "value" if column != "value" else "low"}),
        lambda: frame[list(reversed(list(frame)))],
    ])()  # fmt: skip


@INPUTS
def test_a_table_of_gradients_is_read_as_it_was_written_or_not_at_all(tmp_path, inputs) -> None:
    """With the digest of the damaged file in the record, too, as of someone who knows of it: then it is a table, or
    refused."""
    root = tmp_path / "results"
    _write(root)
    sound = load_rows(Results(root), "gradients-x")
    directory = Results(root).run("gradients-x", "aaaa")
    file, chance, knowing = directory.path / FILE, random.Random(5), 0
    whole = file.read_bytes()
    shutil.copy(directory.record_file, tmp_path / "record")
    for number in range(inputs):
        if chance.random() < 0.6:
            content = io.BytesIO()
            try:
                _altered(pd.read_parquet(io.BytesIO(whole)), chance).to_parquet(content, index=False)
            except Exception:  # parquet has no such column
                continue
            file.write_bytes(content.getvalue())
        else:
            file.write_bytes(mutations.data(whole, chance))
        knows = chance.random() < 0.5
        if knows:
            one = file_artifact(directory.path, FILE).model_dump()
            edit(directory.record_file, lambda record, one=one: record.update(artifacts={"gradients": one}))
        try:
            found = load_rows(Results(root), "gradients-x")
        except UsageError as error:
            named = str(file) in str(error)
        else:
            named = True
            knowing += knows
            assert list(found)[: len(COLUMNS)] == list(COLUMNS), number
            assert knows or found.equals(sound), number
        assert named, number
        file.write_bytes(whole)
        shutil.copy(tmp_path / "record", directory.record_file)
    assert knowing < inputs / 2
    assert load_rows(Results(root), "gradients-x").equals(sound)


def test_what_pandas_notes_for_itself_changes_no_table(tmp_path):
    _write(tmp_path)
    sound = load_rows(Results(tmp_path), "gradients-x")
    directory = Results(tmp_path).run("gradients-x", "aaaa")
    table = parquet.read_table(directory.path / FILE)
    told = json.loads(table.schema.metadata[b"pandas"])
    del told["columns"][0]["numpy_type"]  # a bit turned in a name does as much
    told["columns"][2]["numpy_type"] = "float32"
    parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(told)}), directory.path / FILE)
    one = file_artifact(directory.path, FILE).model_dump()
    edit(directory.record_file, lambda record: record.update(artifacts={"gradients": one}))
    assert load_rows(Results(tmp_path), "gradients-x").equals(sound)


def test_a_small_table_that_says_it_has_a_great_many_rows_is_refused_unread(tmp_path, monkeypatch):
    _write(tmp_path)
    monkeypatch.setattr(rows, "_MOST_ROWS", 3)
    with pytest.raises(UsageError, match="damaged"):
        load_rows(Results(tmp_path), "gradients-x")


@pytest.mark.parametrize("what", ["its record", "its table"])
def test_a_run_without_a_record_or_a_table_is_named_and_the_others_are_shown(tmp_path, what):
    _write(tmp_path, "bbbb")
    _write(tmp_path)
    folder = Results(tmp_path).run("gradients-x", "bbbb").path
    if what == "its record":
        (folder / "run.json").write_text("{")
    else:
        (folder / FILE).unlink()
    damaged: list[str] = []
    assert set(load_rows(Results(tmp_path), "gradients-x", damaged=damaged)["comparison"]) == {"aaaa"}
    assert [str(folder) in message for message in damaged] == [True]


@INPUTS
@pytest.mark.parametrize("which", ["numbers", "curves"])
def test_published_results_are_read_or_refused(tmp_path, monkeypatch, which, inputs) -> None:
    folder, chance = tmp_path / "data", random.Random(which)
    shutil.copytree(str(numbers.data_folder()), folder)
    for module in (numbers, curves):
        monkeypatch.setattr(module, "data_folder", lambda: folder)
    read = {"numbers": numbers.load_published, "curves": curves._all}[which].__wrapped__
    names = {"numbers": [f"{name}.csv" for name in numbers._FILES], "curves": ["series.csv", "curves.parquet"]}[which]
    assert read()
    for number in range(inputs):
        file = folder / chance.choice([*names, "SHA256SUMS"])
        whole = file.read_bytes()
        damaged = mutations.data(whole, chance)
        file.write_bytes(damaged)
        if file.name == "SHA256SUMS":  # another file's line may be what is damaged
            with contextlib.suppress(UsageError):
                read()
        else:
            with pytest.raises(UsageError, match=str(file)):
                read()
        file.write_bytes(whole)
        assert damaged != whole, number
