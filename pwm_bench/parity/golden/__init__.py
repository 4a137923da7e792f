"""A task against recordings of the published simulator (dflex): the file format, its conventions, the comparison."""
