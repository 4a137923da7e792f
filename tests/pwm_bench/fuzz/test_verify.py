"""``results verify`` over kinds of damage to all that lies in a results folder and beside it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.pwm_bench.fuzz.damages import kinds
from tests.pwm_bench.fuzz.world import ALL, QUICK, build, found_wrong

NOT_FOUND = {
    "finished: spec.json: deleted": "the record has the same content, so nothing is lost",
    "finished: folder: emptied": "nothing is left that says that there was a run",
    "finished: folder: deleted": "likewise",
    "data: shard-000000: called partial": "it is as if it had never been completed",
    "data: shard-000000: deleted": "a folder of data grows, and its shards can be removed and made again one by one",
    "data: shard-000000: the last one deleted": "likewise; of data within a run, the record has the digest",
    "data: shard-000000: that of another": "likewise; it is whole, and has the number and the tasks of its place",
}
"""What nothing on the disk contradicts, each with the reason; docs/results.md has them in words."""
SAMPLE = 60


def missed(root: Path, copy: Path, wanted: tuple[str, ...], sample: int | None) -> tuple[set[str], set[str]]:
    """The kinds of damage that were done, and those of them that were not found."""
    with pytest.MonkeyPatch.context() as patch:
        done = kinds(build(root, patch, wanted))
    assert not found_wrong(root)
    chosen = random.Random(0).sample(sorted(done), sample) if sample else list(done)
    unnoticed = set()
    for name in chosen:
        shutil.copytree(root, copy, symlinks=True)
        done[name](copy)
        if not found_wrong(copy):
            unnoticed.add(name)
        shutil.rmtree(copy)
    return set(chosen), unnoticed


@pytest.mark.usefixtures("toys")
def test_verify_finds_damage_of_a_sample_of_kinds(tmp_path):
    done, unnoticed = missed(tmp_path / "made", tmp_path / "copy", QUICK, SAMPLE)
    assert len(done) == SAMPLE
    assert unnoticed == done & NOT_FOUND.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("toys")
def test_verify_finds_damage_of_all_kinds_but_those_that_nothing_contradicts(tmp_path):
    pytest.importorskip("dm_control")
    done, unnoticed = missed(tmp_path / "made", tmp_path / "copy", ALL, None)
    assert len(done) >= 186
    assert unnoticed == NOT_FOUND.keys()
    print(f"{len(done)} kinds of damage, {len(done) - len(unnoticed)} found")
