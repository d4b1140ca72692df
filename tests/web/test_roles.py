"""Who may do what: every route with its role. A new route, or another role, is a decision that is made here too."""

from __future__ import annotations

from connector.model.role import Role
from connector.web.api import ROUTES
from tests.web.conftest import Api

TABLE = {
    ("GET", "/actions"): Role.VIEWER,
    ("GET", "/alerts"): Role.VIEWER,
    ("POST", "/allocations"): Role.OPS,
    ("GET", "/analytics/{metric}"): Role.VIEWER,
    ("GET", "/analytics/{metric}/chart"): Role.VIEWER,
    ("GET", "/analytics/{metric}/csv"): Role.VIEWER,
    ("GET", "/audit"): Role.VIEWER,
    ("GET", "/back-orders"): Role.VIEWER,
    ("GET", "/back-orders/csv"): Role.VIEWER,
    ("GET", "/conflict-rules"): Role.VIEWER,
    ("DELETE", "/conflict-rules/{sobject}/{field}"): Role.OPS,
    ("GET", "/conflicts"): Role.VIEWER,
    ("GET", "/held-values"): Role.VIEWER,
    ("POST", "/held-values/release"): Role.OPS,
    ("GET", "/conflicts/{id}"): Role.VIEWER,
    ("POST", "/conflicts/{id}/resolution"): Role.OPS,
    ("GET", "/customers"): Role.VIEWER,
    ("GET", "/customers/{number}"): Role.VIEWER,
    ("PUT", "/customers/{number}"): Role.OPS,
    ("GET", "/customers/{number}/journey"): Role.VIEWER,
    ("GET", "/dead-letters"): Role.VIEWER,
    ("POST", "/dead-letters/discard"): Role.OPS,
    ("GET", "/dead-letters/groups"): Role.VIEWER,
    ("POST", "/dead-letters/replay"): Role.OPS,
    ("GET", "/dead-letters/{entity}/{key}"): Role.VIEWER,
    ("POST", "/dead-letters/{entity}/{key}/correction"): Role.OPS,
    ("GET", "/doctor"): Role.OPS,
    ("GET", "/holds"): Role.VIEWER,
    ("GET", "/inbox"): Role.VIEWER,
    ("POST", "/inbox/replay"): Role.OPS,
    ("GET", "/invoices/{number}"): Role.VIEWER,
    ("GET", "/invoices/{number}/page"): Role.VIEWER,
    ("GET", "/invoices/{number}/pdf"): Role.VIEWER,
    ("GET", "/lifecycle.svg"): Role.VIEWER,
    ("GET", "/mappings/drift"): Role.VIEWER,
    ("POST", "/mappings/lint"): Role.ADMIN,
    ("GET", "/mappings/plans"): Role.ADMIN,
    ("POST", "/mappings/plans"): Role.ADMIN,
    ("GET", "/mappings/plans/{plan}"): Role.ADMIN,
    ("POST", "/mappings/plans/{plan}/apply"): Role.ADMIN,
    ("DELETE", "/mappings/shadow"): Role.ADMIN,
    ("GET", "/mappings/shadow"): Role.ADMIN,
    ("PUT", "/mappings/shadow"): Role.ADMIN,
    ("POST", "/mappings/shadow/apply"): Role.ADMIN,
    ("GET", "/mappings/versions"): Role.VIEWER,
    ("GET", "/mappings/versions/{id}"): Role.VIEWER,
    ("GET", "/mappings/versions/{id}/diff"): Role.VIEWER,
    ("GET", "/mappings/{entity}"): Role.VIEWER,
    ("PUT", "/mappings/{entity}"): Role.ADMIN,
    ("GET", "/messages"): Role.VIEWER,
    ("POST", "/messages/discard"): Role.OPS,
    ("POST", "/messages/retry"): Role.OPS,
    ("GET", "/orders"): Role.VIEWER,
    ("POST", "/orders"): Role.OPS,
    ("GET", "/orders/{number}"): Role.VIEWER,
    ("GET", "/orders/{number}/actions"): Role.VIEWER,
    ("GET", "/orders/{number}/history"): Role.VIEWER,
    ("GET", "/orders/{number}/invoices"): Role.VIEWER,
    ("GET", "/orders/{number}/journey"): Role.VIEWER,
    ("GET", "/orders/{number}/messages"): Role.VIEWER,
    ("GET", "/orders/{number}/messages/{kind}/preview"): Role.VIEWER,
    ("POST", "/orders/{number}/transitions"): Role.OPS,
    ("GET", "/picks"): Role.VIEWER,
    ("GET", "/products"): Role.VIEWER,
    ("GET", "/products/{sku}"): Role.VIEWER,
    ("PUT", "/products/{sku}"): Role.OPS,
    ("GET", "/products/{sku}/journey"): Role.VIEWER,
    ("POST", "/returns"): Role.OPS,
    ("GET", "/returns/{key}"): Role.VIEWER,
    ("GET", "/returns/{key}/journey"): Role.VIEWER,
    ("POST", "/returns/{key}/transitions"): Role.OPS,
    ("GET", "/scheduler/jobs"): Role.VIEWER,
    ("GET", "/scheduler/jobs/{name}"): Role.VIEWER,
    ("POST", "/scheduler/jobs/{name}/pause"): Role.OPS,
    ("POST", "/scheduler/jobs/{name}/resume"): Role.OPS,
    ("POST", "/scheduler/jobs/{name}/run"): Role.OPS,
    ("DELETE", "/scheduler/jobs/{name}/trigger"): Role.OPS,
    ("PUT", "/scheduler/jobs/{name}/trigger"): Role.OPS,
    ("GET", "/runs"): Role.VIEWER,
    ("GET", "/runs/{run}"): Role.VIEWER,
    ("GET", "/runs/{run}/writes"): Role.VIEWER,
    ("POST", "/runs/{run}/undo"): Role.OPS,
    ("GET", "/scheduler/resyncs"): Role.VIEWER,
    ("POST", "/scheduler/resyncs"): Role.OPS,
    ("GET", "/scheduler/resyncs/{id}"): Role.VIEWER,
    ("POST", "/scheduler/resyncs/{id}/cancel"): Role.OPS,
    ("POST", "/scheduler/resyncs/{id}/pause"): Role.OPS,
    ("POST", "/scheduler/resyncs/{id}/resume"): Role.OPS,
    ("GET", "/scheduler/runs"): Role.VIEWER,
    ("GET", "/scheduler/runs/{id}"): Role.VIEWER,
    ("GET", "/status"): Role.VIEWER,
    ("GET", "/stock"): Role.VIEWER,
    ("PUT", "/stock"): Role.OPS,
    ("POST", "/tracking"): Role.OPS,
    ("POST", "/verifications"): Role.OPS,
    ("GET", "/token"): Role.VIEWER,
    ("GET", "/dead-letters/closed-causes"): Role.VIEWER,
    ("POST", "/dead-letters/groups/{group}"): Role.OPS,
    ("GET", "/workers"): Role.VIEWER,
}  # fmt: skip
EXAMPLES = {
    "number": "W-1", "key": "W-1-RMA1", "metric": "dwell", "sku": "CHAI", "kind": "confirmation", "id": "1",
    "run": "resync-1", "plan": "0123456789ab", "group": "0123456789ab",
    "sobject": "Order", "field": "Description", "name": "push", "entity": "order",
}  # fmt: skip


def test_every_route_has_the_role_of_the_table() -> None:
    assert {(route.method, route.path): route.role for route in ROUTES} == TABLE


def test_viewer_reads_and_changes_nothing() -> None:
    assert {method for (method, _), role in TABLE.items() if role is Role.VIEWER} == {"GET"}


async def test_lesser_role_or_no_token_is_refused_by_every_route(api: Api) -> None:
    for (method, path), needed in TABLE.items():
        target = path.format(**EXAMPLES)
        assert (await api(method, target, role=None)).status == 401, (method, path)
        guessed = await api(method, target, role=None, headers={"Authorization": "Bearer crm_guessed"})
        assert (guessed.status, guessed.body["rule"]) == (401, "token"), (method, path)
        for role in [role for role in Role if not role.covers(needed)]:
            refused = await api(method, target, {}, role=role)
            assert (refused.status, refused.body["rule"]) == (403, "role"), (method, path, role)
