"""Working: a worker process decodes and evaluates what is queued."""
