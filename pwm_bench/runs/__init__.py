"""One run, whatever kind of work it does: its job, loop, clocks, journal, progress and failures."""
