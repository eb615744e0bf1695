"""The sender service: takes sends over HTTP and does them one after the other."""
