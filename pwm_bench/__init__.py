"""pwm-bench: compares policies trained with learned, ground-truth and score-function gradients."""

import os

__version__ = "0.1.0"

# Idle OpenMP threads sleep instead of spinning. On a machine that is also busy with something else, spinning threads
# keep each other from the cores: training was measured ten times slower. Read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
