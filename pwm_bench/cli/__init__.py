"""The command line: the commands, what they show while they work, and how they end."""
