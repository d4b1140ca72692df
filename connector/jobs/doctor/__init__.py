"""Checks the whole installation: the settings, files, the database, the service, and the org.

Nothing is changed, here or in the org. `examine` makes all checks; each file makes those of one part.
"""
