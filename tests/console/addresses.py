"""An address of each page of the console on the data of the tests: what examines all pages opens these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ADDRESSES: Mapping[str, Sequence[str]] = {
    "/": ("/",),
    "/orders": ("/orders", "/orders?q=nobody"),
    "/orders/{number}": ("/orders/N-1", "/orders/N-3", "/orders/none"),
    "/orders/{number}/sides": ("/orders/N-1/sides",),
    "/orders/{number}/actions/{action}": (
        "/orders/N-1/actions/change",
        "/orders/N-1/actions/cancel",
        "/orders/N-1/actions/ship",
    ),
    "/search": ("/search", "/search?q=N", "/search?q=nobody"),
    "/customers/{number}": ("/customers/ALFKI", "/customers/none"),
    "/desk/holds": ("/desk/holds", "/desk/holds?reason=fraud"),
    "/desk/back-orders": ("/desk/back-orders", "/desk/back-orders?sku=none"),
    "/desk/picks": ("/desk/picks", "/desk/picks?warehouse=none"),
    "/analytics": ("/analytics?from=2026-01-01", "/analytics?metric=fill-rate&from=2026-01-01"),
    "/desk/returns": ("/desk/returns",),
    "/errors": ("/errors",),
    "/errors/cause": ("/errors/cause?group={cause}", "/errors/cause?group=none"),
    "/errors/closed": ("/errors/closed",),
    "/errors/correct": ("/errors/correct?entity=order&key=N-3", "/errors/correct?entity=order&key=N-1"),
    "/conflicts": ("/conflicts",),
    "/conflicts/held": ("/conflicts/held",),
    "/audit": ("/audit", "/audit?actor=nobody"),
    "/inbox": ("/inbox",),
    "/jobs": ("/jobs",),
    "/jobs/{name}": ("/jobs/prune", "/jobs/reconcile?idle=yes"),
    "/reconcile": ("/reconcile",),
    "/reconcile/{id}": ("/reconcile/1", "/reconcile/2"),
    "/reconcile/{id}/records": (
        "/reconcile/1/records?state=refused",
        "/reconcile/1/records?state=held&entity=order",
    ),
    "/mappings": ("/mappings",),
    "/mappings/files/{path}": ("/mappings/files/order.yaml", "/mappings/files/values%2Forder_status.yaml"),
    "/mappings/versions": ("/mappings/versions",),
    "/runs": ("/runs", "/runs?kind=job"),
    "/runs/{run}": ("/runs/resync-1", "/runs/undo-1", "/runs/none"),
    "/runs/{run}/undo": ("/runs/resync-1/undo",),
    "/setup": ("/setup", "/setup?check=yes"),
    "/usage": ("/usage",),
    "/mappings/versions/{number}": ("/mappings/versions/1", "/mappings/versions/9"),
    "/mappings/shadow": ("/mappings/shadow",),
    "/mappings/plans/{plan}": ("/mappings/plans/{plan}",),
    "/resyncs": ("/resyncs",),
    "/resyncs/new": ("/resyncs/new", "/resyncs/new?entity=all&refused=today&preview=yes"),
    "/resyncs/{id}": ("/resyncs/1",),
}
"""By the path of the page. `{cause}` is the one cause of dead letters, `{plan}` the one plan of mappings."""
