"""Tables, figures and reports, made from what the store has and from nothing else."""
