"""The receiver: collects parts, decodes, evaluates, and keeps the results."""
