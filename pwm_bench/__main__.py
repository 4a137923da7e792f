"""``python -m pwm_bench``."""

import sys

from pwm_bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
