"""pwm-bench: compares policies trained with learned, ground-truth and score-function gradients."""

__version__ = "0.1.0"
