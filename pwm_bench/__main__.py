"""``pwm-bench`` and ``python -m pwm_bench``."""

import os
import sys

__all__ = ["main"]


def main() -> int:
    """Imports the command line and runs it. A signal that comes meanwhile waits until the command can heed it."""
    from pwm_bench.envs.signals import held
    from pwm_bench.runs.garbage import collect_seldom

    collect_seldom()
    with held():
        from pwm_bench.cli.main import main as run

        return run()


def _leave_working_folder() -> None:
    """``python -m`` looks for modules in the working folder first, where a package called ``envs`` would be taken for
    ours. Not left is the folder that this package itself lies in."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()] != [here]:
        del sys.path[0]


if __name__ == "__main__":
    _leave_working_folder()
    sys.exit(main())
