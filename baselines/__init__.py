"""Baselines beside PWM: one short package each, all on the shared learning layer."""
