"""SOQL: a parser, and an executor on the org's own SQL."""

from connector.localorg.soql.answer import Answer, Paging
from connector.localorg.soql.errors import SoqlError
from connector.localorg.soql.run import QueryResult, open_query, run

__all__ = ["Answer", "Paging", "QueryResult", "SoqlError", "open_query", "run"]
