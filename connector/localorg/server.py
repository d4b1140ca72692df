"""The org as a running server, for tests and for the command line."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from connector.localorg.certificates import Certificates, load_or_create
from connector.localorg.http.app import App
from connector.localorg.org import Org, OrgOptions

if TYPE_CHECKING:
    from connector.localorg.pubsub.port_multiplexer import PortMultiplexer


HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of an org's servers. 0 takes a free port; None leaves the server out."""

    http: int = 0
    tls: int | None = None
    grpc: int | None = None


class LocalOrg:
    """A Salesforce org on loopback, plain and by TLS."""

    def __init__(self, options: OrgOptions | None = None, ports: Ports | None = None) -> None:
        options, ports = options or OrgOptions(), ports or Ports()
        self.org = Org(options)
        self.app = App(self.org)
        self._port = ports.http
        self._tls_port = ports.tls
        self._grpc_port = ports.grpc
        self._port_multiplexer: PortMultiplexer | None = None
        self._data = options.data
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._certificates: Certificates | None = None
        self._runner: web.AppRunner | None = None
        self._token = ""
        self._refresh_token = ""

    async def start(self) -> None:
        self._runner = web.AppRunner(
            self.app.application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            max_line_size=65_536,
            max_field_size=65_536,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()
        self._port = self._runner.addresses[0][1]
        self.org.url = self.url
        if self._tls_port is not None:
            self._certificates = load_or_create(self._certificate_folder())
            site = web.TCPSite(self._runner, HOST, self._tls_port, ssl_context=self._certificates.ssl_context())
            await site.start()
            self._tls_port = self._runner.addresses[1][1]
        if self._grpc_port is not None:
            from connector.localorg.pubsub.port_multiplexer import PortMultiplexer  # slow to import

            self._port_multiplexer = PortMultiplexer(self.org, self._scratch_folder())
            self._grpc_port = await self._port_multiplexer.start(HOST, self._grpc_port, self._certificates)

    def _certificate_folder(self) -> Path:
        """Return the folder beside the org's file, so that the authority lasts as long as the org."""
        if self._data is not None:
            return self._data.with_name(f"{self._data.name}.tls")
        return self._scratch_folder()

    def _scratch_folder(self) -> Path:
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="local-org-")
        return Path(self._scratch.name)

    async def stop(self) -> None:
        if self._port_multiplexer is not None:
            await self._port_multiplexer.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            self.org.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    async def __aenter__(self) -> LocalOrg:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    @property
    def tls_url(self) -> str | None:
        return f"https://localhost:{self._tls_port}" if self._certificates else None

    @property
    def ca_file(self) -> Path | None:
        """The certificate that a client must trust to use `tls_url`."""
        return self._certificates.ca if self._certificates else None

    @property
    def pubsub_endpoint(self) -> str | None:
        """Host and port of the Pub/Sub API, which accepts plain and TLS connections."""
        return f"localhost:{self._grpc_port}" if self._port_multiplexer else None

    @property
    def page_url(self) -> str:
        return f"{self.url}/?key={self.org.auth.page_key}"

    @property
    def client_id(self) -> str:
        return self.org.auth.client_id

    @property
    def client_secret(self) -> str:
        return self.org.auth.client_secret

    @property
    def username(self) -> str:
        return self.org.auth.identity.username

    @property
    def password(self) -> str:
        return self.org.auth.password

    @property
    def security_token(self) -> str:
        return self.org.auth.security_token

    @property
    def access_token(self) -> str:
        """A valid access token; the same one until it expires."""
        if self.org.auth.read_session(self._token) is None:
            self._token = self.org.auth.issue()
        return self._token

    @property
    def refresh_token(self) -> str:
        if self.org.auth.read_session(self._refresh_token) is None:
            self._refresh_token = self.org.auth.issue("R")
        return self._refresh_token

    def banner(self) -> dict[str, str | None]:
        """Return the addresses and credentials that a client needs."""
        return {
            "instance_url": self.url,
            "tls_url": self.tls_url,
            "ca_file": str(self.ca_file) if self.ca_file else None,
            "pubsub_endpoint": self.pubsub_endpoint,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "username": self.username,
            "password": self.password,
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
        }
