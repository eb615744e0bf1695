"""Sending: a model over HTTP to a link, draw by draw."""
