"""What we keep: orders, the outbox of unsent changes, links to the org, leases and the journal, in SQL.

One set of SQLAlchemy Core statements serves SQLite (embedded) and PostgreSQL (production). Writing goes through
`Store.transaction()`, whose unit of work captures changes; reading through `Store.reader()`.
"""
