"""Storing: the database, the files, and what expires."""
