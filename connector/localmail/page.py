"""The page that shows caught mails. A mail cannot do anything: text is escaped, HTML is shown in a frame without
scripts and without network access, attachments can only be downloaded.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from connector import design
from connector.localmail.mailbox import Mail, Mailbox

STYLE = (
    design.read("theme.css")
    + """
main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem}h1{overflow-wrap:anywhere;unicode-bidi:plaintext}
.who{display:flex;gap:.6rem;align-items:center;font-weight:650;margin-bottom:1rem}.who .icon{color:var(--accent)}
.card{background:var(--surface);border:1px solid var(--line);border-radius:var(--radius);box-shadow:var(--shadow)}
ol{list-style:none;margin:1rem 0;padding:0}li+li{border-top:1px solid var(--line)}
li a{display:grid;grid-template-columns:1fr auto;gap:0 1rem;padding:.7rem 1.1rem;color:inherit;text-decoration:none}
li a:hover,li a:focus{background:var(--accent-faint)}li strong{font-weight:600}li .quiet{font-size:.87rem}
li :is(strong,.quiet){overflow-wrap:anywhere;unicode-bidi:plaintext;min-width:0}
dl{display:grid;grid-template-columns:auto 1fr;gap:.15rem 1rem;margin:1rem 0}dt{color:var(--quiet)}
dd{margin:0;overflow-wrap:anywhere;unicode-bidi:plaintext}details dl{margin:.15rem 0}
main.framed{display:flex;flex-direction:column;height:100vh;height:100dvh;min-height:36rem;padding:1rem}
.framed>*{flex:none;margin:0 0 .5rem}iframe{width:100%}.framed>iframe{flex:1;min-height:0;margin:0;background:#fff}
nav{display:flex;gap:1rem;flex-wrap:wrap;margin:1rem 0}
pre{margin:0;padding:1rem;white-space:pre-wrap;overflow-wrap:anywhere}
.empty{padding:2rem;text-align:center}
"""
)
POLICY = (
    f"default-src 'none'; style-src {design.style_source(STYLE)}; frame-src 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
LINK_PERMISSIONS = "allow-popups allow-popups-to-escape-sandbox"
"""A link in a mail opens in a new tab, because the frame must not load it."""
FRAME_POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox {LINK_PERMISSIONS}"
)
DOWNLOAD_POLICY = "default-src 'none'; sandbox"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost")


def make_app(mailbox: Mailbox) -> web.Application:
    app = web.Application(middlewares=[check_host])

    async def list_mails(request: web.Request) -> web.Response:
        rows = "".join(_render_row(mail) for mail in mailbox)
        listed = f'<ol class="card">{rows}</ol>' if rows else '<p class="card empty quiet">No mail yet.</p>'
        count = (
            f"{len(mailbox)} of {mailbox.caught} caught" if mailbox.caught > len(mailbox) else f"{len(mailbox)} caught"
        )
        body = (
            f'<p class="who">{design.icon("inbox")}Caught mails</p><h1>Mails</h1>'
            f'<p class="quiet">{count}, none of them delivered; this page looks again by itself.</p>'
        )
        return _respond_page("Mails", body + listed, refresh=True)

    async def show_mail(request: web.Request) -> web.Response:
        mail = find_mail(request)
        framed = mail.html is not None
        return _respond_page(mail.header("subject") or "No subject", _render_mail(mail), framed=framed)

    async def show_html(request: web.Request) -> web.Response:
        page = find_mail(request).html or ""
        before, head, after = page.partition("<head>")
        page = f'{before}{head}<base target="_blank">{after}' if head else f'<base target="_blank">{page}'
        return _respond(page, "text/html", FRAME_POLICY)

    async def show_text(request: web.Request) -> web.Response:
        return _respond(find_mail(request).text or "", "text/plain", DOWNLOAD_POLICY)

    async def show_raw(request: web.Request) -> web.Response:
        return _respond(find_mail(request).raw.decode("utf-8", "replace"), "text/plain", DOWNLOAD_POLICY)

    async def save_attachment(request: web.Request) -> web.Response:
        attachments = find_mail(request).attachments
        index = int(request.match_info["part"]) - 1
        if not 0 <= index < len(attachments):
            raise web.HTTPNotFound
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(attachments[index].name, safe='')}",
            "Content-Security-Policy": DOWNLOAD_POLICY,
        }
        # Its own type would invite the browser to show it.
        return web.Response(body=attachments[index].content, content_type="application/octet-stream", headers=headers)

    def find_mail(request: web.Request) -> Mail:
        mail = mailbox.find(int(request.match_info["number"]))
        if mail is None:
            raise web.HTTPNotFound(text="This mail does not exist any more.")
        return mail

    app.router.add_get("/", list_mails)
    app.router.add_get(r"/mails/{number:\d{1,9}}", show_mail)
    app.router.add_get(r"/mails/{number:\d{1,9}}/html", show_html)
    app.router.add_get(r"/mails/{number:\d{1,9}}/text", show_text)
    app.router.add_get(r"/mails/{number:\d{1,9}}/raw", show_raw)
    app.router.add_get(r"/mails/{number:\d{1,9}}/parts/{part:\d{1,3}}", save_attachment)
    return app


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests under names other than loopback: another site's name could lead to this machine."""
    if request.host.rpartition(":")[0] not in LOOPBACK_HOSTS and request.host not in LOOPBACK_HOSTS:
        raise web.HTTPForbidden(text="Use the address 127.0.0.1.")
    response = await handler(request)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _render_row(mail: Mail) -> str:
    recipients = ", ".join(mail.recipients)
    subject = mail.header("subject") or "No subject"
    attachment_note = f" · {_plural(len(mail.attachments), 'attachment')}" if mail.attachments else ""
    return (
        f'<li><a href="/mails/{mail.number}"><strong>{escape(subject)}</strong>'
        f'<span class="quiet">{mail.received_at:%H:%M:%S} UTC</span>'
        f'<span class="quiet">to {escape(recipients)}{attachment_note}</span></a></li>'
    )


def _render_mail(mail: Mail) -> str:
    """Render a mail. An HTML mail fills the rest of the window, so that only the mail scrolls."""
    headers = _definition_list([(name, mail.header(name)) for name in ("From", "To", "Date")])
    envelope = f"{mail.sender} → {', '.join(mail.recipients)}"
    more = _definition_list([("Message-ID", mail.header("Message-ID")), ("Envelope", envelope)])
    mail_url = f"/mails/{mail.number}"
    links = [f'<a href="{mail_url}/{part}">{part}</a>' for part in ("html", "text", "raw")]
    links += [
        f'<a href="{mail_url}/parts/{number}">{escape(item.name)} ({len(item.content):,} bytes)</a>'
        for number, item in enumerate(mail.attachments, start=1)
    ]
    if mail.html is not None:
        content = f'<iframe class="card" sandbox="{LINK_PERMISSIONS}" src="{mail_url}/html" title="The mail"></iframe>'
    else:
        content = f'<pre class="card">{escape(mail.text or "")}</pre>'
    subject = escape(mail.header("subject") or "No subject")
    return (
        f'<p><a href="/">All mails</a></p><h1>{subject}</h1>{headers}<details><summary>More</summary>{more}</details>'
        f"<nav>{''.join(links)}</nav>{content}"
    )


def _definition_list(pairs: list[tuple[str, str]]) -> str:
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs if value)
    return f"<dl>{entries}</dl>" if entries else ""


def _respond_page(title: str, body: str, *, refresh: bool = False, framed: bool = False) -> web.Response:
    main = '<main class="framed">' if framed else "<main>"
    refresh_tag = '<meta http-equiv="refresh" content="5">' if refresh else ""
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh_tag}'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body>{main}{body}</main></body></html>"
    )
    return _respond(page, "text/html", POLICY)


def _respond(text: str, kind: str, policy: str) -> web.Response:
    return web.Response(
        body=text.encode("utf-8", "replace"), content_type=kind, charset="utf-8",
        headers={"Content-Security-Policy": policy},
    )  # fmt: skip


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun if count == 1 else noun + 's'}"
