"""SOQL: a parser, and an executor on the org's own SQL."""

from connector.localorg.soql.errors import SoqlError
from connector.localorg.soql.run import QueryResult, run

__all__ = ["QueryResult", "SoqlError", "run"]
