"""A strict Salesforce org on loopback, for demos and tests.

An island: it imports nothing of the connector, because code shared with what it tests would hide the very faults it
exists to show. Only the command line starts it.
"""
