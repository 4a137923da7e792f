"""What a run is, whatever kind of work it does."""
