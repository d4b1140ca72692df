"""What the platform allows in one call, as numbers with their source. Who splits work reads them from here."""

from __future__ import annotations

ROWS_PER_COLLECTION = 200
"""Records in one sObject Collections write (REST API guide, "sObject Collections")."""

CHUNKS_PER_COLLECTION = 10
"""Runs of consecutive equal types in one collections create or update; more are refused whole (same chapter)."""

GRAPHS_PER_CALL = 75
"""Graphs in one composite graph payload (REST API guide, "Composite Graph Limits")."""

NODES_PER_CALL = 500
"""Nodes over all graphs of one payload, and in one graph (same chapter)."""

NODE_KINDS_PER_CALL = 15
"""Distinct kinds of nodes in one payload; a kind is API version, HTTP method and object (same chapter)."""

GRAPH_DEPTH = 15
"""Longest chain of references inside one graph (same chapter)."""

GRAPH_ID_LENGTH = 39
"""A graphId is shorter than 40 characters, starts alphanumeric and holds no period (same chapter)."""

FAILED_GRAPHS_BEFORE_HALT = 14
"""After so many failed graphs the rest of the payload is not executed but answered PROCESSING_HALTED (same chapter)."""

SUBREQUESTS_PER_COMPOSITE = 25
"""Subrequests in one `/composite` call (REST API guide, "Composite")."""

QUERIES_PER_COMPOSITE = 5
"""Of these, how many may be queries or sObject Collections (same chapter)."""

MAX_URL = 16_384
"""Bytes of the URI (414 beyond), and of URI and headers together (431 beyond) (REST API guide, status codes)."""

HEADER_RESERVE = 4_096
"""Our allowance within MAX_URL for headers: an access token in JWT form takes up to 2 KB."""

QUERY_URL_ROOM = MAX_URL - HEADER_RESERVE
"""Bytes left for the URI of a query, percent-encoded."""

QUERY_LENGTH = 100_000
"""Characters of one SOQL statement (SOQL guide); beyond QUERY_URL_ROOM it must travel inside `/composite`."""

QUERY_ROWS_PER_PAGE = 2_000
"""Rows of one page of a query answer at most; it can be fewer (SOQL guide, "Sforce-Query-Options")."""

LOCK_WAIT_SECONDS = 10
"""How long the org itself waits for a record lock before UNABLE_TO_LOCK_ROW (Large data volumes guide)."""

LONG_CALL_SECONDS = 20
"""Calls that run longer count against the limit of concurrent long calls (SOAP API guide, "API Request Limits")."""
