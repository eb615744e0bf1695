"""HTTP: request bodies, refusals, guarded connections, who may call and for how much."""
