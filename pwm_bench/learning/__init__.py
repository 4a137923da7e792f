"""Parts shared by the learners, each imported from its own module; every tensor's leading axis is the member."""
