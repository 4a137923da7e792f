"""PWM's policies for many tasks at once, trained in one frozen multi-task world model."""
