"""The link: a noisy channel behind HTTP, between a sender and a receiver."""
