"""Parts that the services have in common: bodies, problem details, and how they are run."""
