"""Worker processes: a line of JSON per order and per report."""
