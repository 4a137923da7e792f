from __future__ import annotations

import fcntl
import os

from pwm_bench.envs.compiling import alone


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
