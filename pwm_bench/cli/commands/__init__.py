"""One module a command: its options as a dataclass, its work as `__call__`. Heavy imports stay inside functions."""
