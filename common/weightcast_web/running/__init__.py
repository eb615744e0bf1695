"""Running: commands, sockets, and one service per folder."""
