"""SOQL: a parser, and an executor that compiles queries to SQL on the org's own tables."""

from connector.localorg.soql.errors import SoqlError
from connector.localorg.soql.executor import QueryResult, open_query, run_query
from connector.localorg.soql.query_result import PagedResult, Paging

__all__ = ["PagedResult", "Paging", "QueryResult", "SoqlError", "open_query", "run_query"]
