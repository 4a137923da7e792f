"""Parts shared by the learners, each imported from its own module; leading axes are population members."""
