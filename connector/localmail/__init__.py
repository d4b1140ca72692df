"""A mail server on loopback, for demos and tests: it delivers nothing, keeps what it receives and shows it.

It imports nothing of the connector.
"""
