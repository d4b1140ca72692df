"""A mail server on loopback that delivers nothing: it keeps what it gets and shows it. An island."""
