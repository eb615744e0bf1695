"""The subcommands of `client`, one module each."""
