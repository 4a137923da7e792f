"""What comes out of a study: statistics, tables, figures, and published results beside them."""
