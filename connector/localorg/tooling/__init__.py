"""The Tooling API's view of the org: its objects and fields as rows.

`objects` says which there are and what they have, `rows` fills them from the org as it is, `words` puts a field's type
as the platform does, `view` answers queries of them.
"""
