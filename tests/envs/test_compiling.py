from __future__ import annotations

import fcntl
import os

from pwm_bench.envs.compiling import alone, keep, kept


def test_it_is_held_inside_and_free_outside(tmp_path):
    file = tmp_path / "cache" / "program.lock"

    def is_free() -> bool:
        descriptor = os.open(file, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    with alone(file):
        assert not is_free()
    assert is_free()


def test_without_a_place_for_it_everyone_compiles_for_itself(tmp_path):
    (tmp_path / "file").touch()
    with alone(tmp_path / "file" / "program.lock"):
        pass


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    other = tmp_path / "other.bin"
    other.write_bytes(bytes(1000))
    for age, name in enumerate("dcba"):
        keep(tmp_path / f"kept-{name}", bytes(10), alike="kept-*", room=40)
        os.utime(tmp_path / f"kept-{name}", (1000 + age, 1000 + age))
    assert kept(tmp_path / "kept-d") == bytes(10)
    keep(tmp_path / "kept-e", bytes(15), alike="kept-*", room=40)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept-a", "kept-d", "kept-e", "other.bin"]
    keep(tmp_path / "kept-f", bytes(50), alike="kept-*", room=40)  # what was just made stays, whatever its size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept-f", "other.bin"]
