"""TLS: clients that accept nothing else and trust the org's own authority only."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
import pytest
import requests

from connector.cli.localorg import our_metadata
from connector.localorg.certificates import load_or_create
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports


async def versions(url: str, ca: Path | None) -> int:
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    async with aiohttp.ClientSession() as http, http.get(f"{url}/services/data", ssl=context) as answer:
        return answer.status


async def test_only_clients_that_trust_the_authority_connect() -> None:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(tls=0)) as org:
        assert org.tls_url is not None
        assert await versions(org.tls_url, org.ca_file) == 200
        assert await versions(org.tls_url.replace("localhost", "127.0.0.1"), org.ca_file) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await versions(org.tls_url, None)


async def test_authority_is_kept_with_the_orgs_file(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        async with LocalOrg(OrgOptions(data=tmp_path / "org.db", metadata_root=our_metadata()), Ports(tls=0)) as org:
            assert org.ca_file is not None
            seen.add(org.ca_file.read_bytes())
    assert len(seen) == 1
    assert (tmp_path / "org.db.tls" / "server.key").stat().st_mode & 0o077 == 0


async def test_org_without_a_file_leaves_no_certificates() -> None:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(tls=0)) as org:
        ca_file = org.ca_file
        assert ca_file is not None
        assert ca_file.is_file()
    assert not ca_file.parent.exists()


def test_invalid_certificate_files_are_replaced(tmp_path: Path) -> None:
    created = load_or_create(tmp_path)
    first = created.ca.read_bytes()
    created.chain.write_text("no certificate")
    assert load_or_create(tmp_path).ca.read_bytes() != first


async def test_simple_salesforce_connects_by_tls() -> None:
    from simple_salesforce import Salesforce

    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(tls=0)) as org:
        assert org.tls_url is not None

        def use() -> None:
            with requests.Session() as session:
                session.trust_env = False  # a REQUESTS_CA_BUNDLE would come first
                session.verify = str(org.ca_file)
                instance = str(org.tls_url).removeprefix("https://")
                simple = Salesforce(session_id=org.access_token, instance=instance, session=session)
                created_id = simple.Account.create({"Name": "by TLS"})
                assert simple.Account.get(created_id["id"])["Name"] == "by TLS"

        await asyncio.to_thread(use)


async def test_token_requested_by_tls_names_the_tls_address() -> None:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(tls=0)) as org, aiohttp.ClientSession() as http:
        assert org.tls_url is not None
        context = ssl.create_default_context(cafile=str(org.ca_file))
        form = {"grant_type": "client_credentials", "client_id": org.client_id, "client_secret": org.client_secret}
        async with http.post(f"{org.tls_url}/services/oauth2/token", data=form, ssl=context) as answer:
            assert (await answer.json())["instance_url"] == org.tls_url
