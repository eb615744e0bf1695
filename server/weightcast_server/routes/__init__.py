"""Routes: the receiver's API, one router per concern."""
