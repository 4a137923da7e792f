"""What a run can do: one file for each kind of work."""
