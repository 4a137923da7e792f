"""Ways to carry out runs: each executor turns a spec into a finished run directory somewhere."""
