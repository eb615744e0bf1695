"""The screen: progress bars on standard error, tables on standard output."""
