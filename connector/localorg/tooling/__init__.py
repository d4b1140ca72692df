"""The Tooling API: the org's objects and fields as rows. Frozen: see README.md.

`objects` defines the Tooling objects, `row_builder` builds their rows from the org's schema, `data_types` words the
type of a field, `view` runs queries on them.
"""
