"""The sender: the command `client` and its transport."""
