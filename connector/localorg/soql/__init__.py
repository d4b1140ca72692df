"""SOQL: a parser, and an executor on the org's own SQL."""

from connector.localorg.soql.errors import SoqlError
from connector.localorg.soql.executor import QueryResult, open_query, run
from connector.localorg.soql.query_result import Answer, Paging

__all__ = ["Answer", "Paging", "QueryResult", "SoqlError", "open_query", "run"]
