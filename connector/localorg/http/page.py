"""One plain page to look at: the latest orders and what the callers have cost. Opened by a link that carries a key."""

from __future__ import annotations

import hmac
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.plan import Row

_ROWS = 50
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1c2330}
h1{font-size:1.3rem;margin:0}p{color:#5a6474;margin:.2rem 0 1.5rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.45rem .6rem;border-bottom:1px solid #e3e7ee}th{color:#5a6474;font-weight:500}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
"""


def answer(org: Org, params: dict[str, str]) -> web.Response:
    if not hmac.compare_digest(params.get("key", "").encode(), org.auth.page_key.encode()):
        return _page(
            "Local Salesforce org", "<p>Open the link the org printed at its start: it carries the key.</p>", 403
        )
    usage = org.usage
    day = f"{usage.used:,} of {usage.limit:,} in 24 hours"
    used = f"{usage.calls:,} API calls, {usage.writes:,} of them writes, {day}"
    rows = "".join(_row(org, order) for order in _latest(org))
    table = (
        "<table><thead><tr><th>Order</th><th>Account</th><th>Stage</th><th>Status</th><th>Start</th>"
        f'<th class="n">Total</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    return _page("Local Salesforce org", f"<p>{used}</p>{table if rows else '<p>No orders yet.</p>'}", 200)


def _latest(org: Org) -> list[Row]:
    return list(org.dml.select("Order", '"IsDeleted" = 0 ORDER BY "Id" DESC LIMIT ?', _ROWS))


def _row(org: Org, order: Row) -> str:
    account = org.dml.fetch("Account", order["AccountId"]) or {}
    number = order.get("External_Key__c") or order["OrderNumber"]
    cells = (number, account.get("Name"), order.get("Lifecycle_Stage__c"), order["Status"], order["EffectiveDate"])
    told = "".join(f"<td>{escape(str(cell)) if cell is not None else ''}</td>" for cell in cells)
    total = order["TotalAmount"] or 0
    currency = order.get("CurrencyIsoCode") or org.settings.currency
    return f'<tr>{told}<td class="n">{total:,.2f} {escape(str(currency))}</td></tr>'


def _page(title: str, body: str, status: int) -> web.Response:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1>{body}</body></html>"
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)
