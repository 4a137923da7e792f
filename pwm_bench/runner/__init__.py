"""One run: one spec, one device, one run directory."""

from pwm_bench.runner.progress import Progress, ProgressEvent
from pwm_bench.runner.run import Outcome, execute

__all__ = ["Outcome", "Progress", "ProgressEvent", "execute"]
