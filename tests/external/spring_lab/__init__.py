"""One thing of each kind that pwm-bench takes from outside."""
