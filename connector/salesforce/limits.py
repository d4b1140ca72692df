"""Limits of the platform for one call, with their source. Code that splits work reads them from here."""

from __future__ import annotations

ROWS_PER_COLLECTION = 200
"""Records in one sObject Collections write (REST API Developer Guide, "sObject Collections")."""

CHUNKS_PER_COLLECTION = 10
"""Runs of consecutive equal types in one collections create or update; the org refuses more as a whole (REST API
Developer Guide, "sObject Collections")."""

GRAPHS_PER_CALL = 75
"""Graphs in one composite graph payload (REST API Developer Guide, "Composite Graph Limits")."""

NODES_PER_CALL = 500
"""Nodes over all graphs of one payload, and in one graph (REST API Developer Guide, "Composite Graph Limits")."""

NODE_KINDS_PER_CALL = 15
"""Distinct kinds of nodes in one payload; a kind is API version, HTTP method and object (REST API Developer Guide,
"Composite Graph Limits")."""

GRAPH_DEPTH = 15
"""Longest chain of references inside one graph (REST API Developer Guide, "Composite Graph Limits")."""

GRAPH_ID_LENGTH = 39
"""A graphId is shorter than 40 characters, starts alphanumeric and contains no period (REST API Developer Guide,
"Composite Graph Limits")."""

FAILED_GRAPHS_BEFORE_HALT = 14
"""After so many failed graphs the rest of the payload is not executed but answered PROCESSING_HALTED (REST API
Developer Guide, "Composite Graph Limits")."""

SUBREQUESTS_PER_COMPOSITE = 25
"""Subrequests in one `/composite` call (REST API Developer Guide, "Composite")."""

QUERIES_PER_COMPOSITE = 5
"""How many of these may be queries or sObject Collections (REST API Developer Guide, "Composite")."""

MAX_URL = 16_384
"""Bytes of the URI (414 beyond), and of URI and headers together (431 beyond) (REST API Developer Guide, "Status Codes
and Error Responses")."""

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
