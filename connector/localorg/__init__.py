"""A strict Salesforce org on loopback, for demos and tests.

It refuses what Salesforce refuses, with Salesforce's own error codes. It imports nothing of the connector: code shared
with the connector would hide the very faults that the org exists to show. Only the command line starts it.

README.md beside this file lists the folders and says which parts are frozen.
"""
