"""What comes out: tables, figures, reports; it reads the store alone."""
