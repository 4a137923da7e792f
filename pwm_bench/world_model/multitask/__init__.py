"""TD-MPC2's world model for many tasks at once: sizes, losses, pre-training, checkpoints and planning."""
