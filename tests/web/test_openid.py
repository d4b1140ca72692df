"""Signing in by OpenID Connect: with a provider that nobody here wrote, with the local org, and with one that lies."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from connector.cli.localorg import our_metadata
from connector.clock import SystemClock
from connector.jobs.doctor.openid_check import check_openid
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.model.health_check import CheckStatus
from connector.model.role import Role
from connector.openid.identity import identify
from connector.settings import Settings
from connector.settings.oidc import OidcSettings
from connector.store import console_sessions, journal, tokens
from connector.store.engine import Store
from connector.web.console.session import COOKIE
from connector.web.console.sign_in import ATTEMPT_COOKIE, CALLBACK, OPENID, SIGN_INS_PER_MINUTE
from tests.conftest import ManualClock
from tests.web.conftest import app_on
from tests.web.openid_providers import (
    GROUPS,
    RSA_KEYS,
    SECRET,
    LyingProvider,
    ShiftedClock,
    browsing,
    oidc_provider_mock,
    tell,
)


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    with oidc_provider_mock() as url:
        yield url


@pytest.fixture
async def liar() -> AsyncIterator[LyingProvider]:
    provider = LyingProvider()
    async with TestServer(provider.app()) as server:
        provider.url = str(server.make_url("")).rstrip("/")
        yield provider


async def test_person_signs_in_acts_by_name_and_role_and_signs_out(store: Store, issuer: str) -> None:
    settings = {"issuer": issuer, "name": "Example Ltd", **GROUPS, **SECRET}
    async with browsing(store, settings) as person:
        _, page = await person.text_of("/signin?next=%2Forders%3Fstage%3Dplaced")
        assert "Sign in with Example Ltd" in page
        assert f'href="{OPENID}?next=%2Forders%3Fstage%3Dplaced"' in page
        asked = await person.begin("/orders?stage=placed")
        query = parse_qs(urlsplit(asked).query)
        assert query["code_challenge_method"] == ["S256"]
        assert query["scope"] == ["openid profile email"]
        assert query["redirect_uri"] == [str(person.client.make_url(CALLBACK))]
        assert len(query["state"][0]) == len(query["nonce"][0]) == 64
        back = await person.at_provider(asked, sub="1")
        assert await person.come_back(back) == (303, "/orders?stage=placed")
        status, page = await person.text_of("/")
        assert (status, "kim@example.com" in page, ">ops<" in page) == (200, True, True)
        # The same address of the callback again, as the history of the browser has it.
        status, told = await person.come_back(back)
        assert (status, "was used before" in told) == (403, True)
        proof = re.search(r'name="form_proof" value="(\w+)"', page)
        assert proof is not None
        async with person.client.post("/signout", data={"form_proof": proof[1]}, allow_redirects=False) as answer:
            assert answer.headers["Location"] == "/signin?left=yes"
        _, page = await person.text_of("/signin?left=yes")
        assert "Sign out of Example Ltd, too" in page
        async with person.client.get(f"{OPENID}/end", allow_redirects=False) as answer:
            leaves = urlsplit(answer.headers["Location"])
        assert leaves.path == "/oauth2/end_session"
        assert parse_qs(leaves.query)["post_logout_redirect_uri"] == [str(person.client.make_url("/signin"))]
        assert (await person.text_of("/"))[0] == 303
    async with store.reader() as connection:
        second, first = await journal.read(connection, "console", "kim@example.com")
    assert (first.action, first.actor, second.action) == ("signed_in", "kim@example.com", "signed_out")
    assert first.detail.items() >= {"role": "ops", "issuer": issuer, "subject": "1"}.items()


async def test_groups_decide_on_the_role_and_nobody_else_gets_in(store: Store, issuer: str) -> None:
    async with browsing(store, {"issuer": issuer, **GROUPS, **SECRET}) as person:
        seen = {}
        for subject in ("1", "2", "3", "4"):
            back = await person.at_provider(await person.begin(), sub=subject)
            status, told = await person.come_back(back)
            async with store.reader() as connection:
                seen[subject] = (
                    status,
                    {
                        item.name: item.role
                        for item in await console_sessions.list_people(connection, store.clock.now())
                    },
                )
        refused = await person.at_provider(await person.begin(), sub="3")
        _, told = await person.come_back(refused)
    assert [seen[subject][0] for subject in "1234"] == [303, 303, 403, 303]
    assert seen["4"][1] == {"kim@example.com": Role.OPS, "vic@example.com": Role.VIEWER, "root (4)": Role.ADMIN}
    assert told.startswith(
        f"nobody@example.com may not use this console: {urlsplit(issuer).netloc} says"
        " &lt;b&gt;guests&lt;/b&gt; in the claim groups."
    )


async def test_session_of_a_person_ends_in_time_by_hand_and_with_the_provider(
    store: Store, clock: ManualClock, issuer: str
) -> None:
    async with browsing(store, {"issuer": issuer, "session_hours": "1", **GROUPS, **SECRET}) as person:

        async def signed_in() -> int:
            back = await person.at_provider(await person.begin(), sub="1")
            assert await person.come_back(back) == (303, "/")
            return (await person.text_of("/"))[0]

        assert await signed_in() == 200
        clock.advance(3601)
        assert (await person.text_of("/"))[0] == 303
        assert await signed_in() == 200
        async with store.transaction() as uow:
            assert await console_sessions.end_of_person(uow, "kim@example.com", actor="chief") == 1
        assert (await person.text_of("/"))[0] == 303
        assert await signed_in() == 200
        [cookie] = [item.value for item in person.client.session.cookie_jar if item.key == COOKIE]
    async with TestClient(TestServer(app_on(store))) as other:  # signing in by the provider was turned off
        async with other.get("/", headers={"Cookie": f"{COOKIE}={cookie}"}, allow_redirects=False) as answer:
            assert answer.status == 303
        async with other.get(OPENID, allow_redirects=False) as answer:
            assert (answer.status, "Sign in with a token." in await answer.text()) == (404, True)
        assert "Sign in with" not in await (await other.get("/signin")).text()


async def test_people_come_back_behind_a_tls_proxy_and_only_in_their_own_browser(store: Store, issuer: str) -> None:
    async with browsing(store, {"issuer": issuer, **GROUPS, **SECRET}) as person:
        forwarded = {"X-Forwarded-Proto": "https", "Host": "crm.example"}
        asked = await person.begin(**forwarded)
        assert parse_qs(urlsplit(asked).query)["redirect_uri"] == [f"https://crm.example{CALLBACK}"]
        async with person.client.get(OPENID, headers=forwarded, allow_redirects=False) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert all(part in cookie for part in ("Secure", "HttpOnly", "SameSite=Lax", f"Path={OPENID}"))
        back = await person.at_provider(await person.begin(), sub="1")
        person.client.session.cookie_jar.clear()
        status, told = await person.come_back(back)  # somebody else was made to open the address
        assert (status, "began in another browser" in told) == (403, True)
        own = await person.begin()
        status, told = await person.come_back(back)  # the cookie of another attempt
        assert (status, "began in another browser" in told) == (403, True)
        assert await person.begin("//evil.example") != own
        cookie = next(item.value for item in person.client.session.cookie_jar if item.key == ATTEMPT_COOKIE)
        assert cookie.endswith(".%2F")
    settings = {"issuer": issuer, "redirect_uri": f"https://crm.example{CALLBACK}", **GROUPS, **SECRET}
    async with browsing(store, settings) as person:
        asked = await person.begin()
        assert parse_qs(urlsplit(asked).query)["redirect_uri"] == [f"https://crm.example{CALLBACK}"]


async def test_user_of_the_org_signs_in_with_salesforce(store: Store) -> None:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as org:
        banner = org.banner()
        settings = {
            "issuer": banner["instance_url"],
            "client_id": banner["client_id"],
            "client_secret": banner["client_secret"],
            "roles_claim": "preferred_username",
            "ops_groups": banner["username"],
        }
        async with browsing(store, settings) as person:
            asked = urlsplit(await person.begin())
            form = {name: values[0] for name, values in parse_qs(asked.query).items()}
            login = {"username": banner["username"], "password": banner["password"]}
            back = await person.at_provider(f"{banner['instance_url']}{asked.path}", **form, **login)
            assert await person.come_back(back) == (303, "/")
            status, page = await person.text_of("/")
            assert (status, ">ops<" in page) == (200, True)
            again = await person.client.get(f"{OPENID}/end", allow_redirects=False)
            assert again.headers["Location"] == "/signin"  # the org has no page for that


async def test_id_token_is_believed_only_if_all_of_it_is_right(store: Store, liar: LyingProvider) -> None:
    later = int(time.time()) + 3600
    lies: list[tuple[dict[str, Any], str]] = [
        ({"claims": {"aud": "another"}}, "(aud)"),
        ({"claims": {"aud": ["console", "another"], "azp": "another"}}, "(azp)"),
        ({"claims": {"iss": "https://evil.example"}}, "(iss)"),
        ({"claims": {"nonce": "of another attempt"}}, "(nonce)"),
        ({"claims": {"nonce": None}}, "(nonce)"),
        ({"claims": {"sub": None}}, "(sub)"),
        ({"claims": {"exp": None}}, "(exp)"),
        ({"claims": {"exp": int(time.time()) - 120}}, "expired 1"),
        ({"claims": {"iat": later, "exp": later}}, "seconds ahead of this machine"),
        ({"key": RSA_KEYS[1]}, "(bad_signature)"),
        ({"algorithm": "none"}, "cannot be believed"),
        ({"algorithm": "HS256", "key": "console-secret-of-thirty-two-bytes"}, "cannot be believed"),
        ({"claims": {"groups": {"crm-ops": True}}}, "says nothing of kim@example.com in the claim groups"),
        (
            {"answer": web.json_response({"error": "invalid_grant"}, status=400)},
            "does not accept this sign-in any more",
        ),
        (
            {"answer": web.json_response({"error": "invalid_client"}, status=401)},
            "refuses the connector: invalid_client",
        ),
        ({"answer": web.json_response({"access_token": "a"})}, "cannot be believed"),
        ({"answer": web.Response(text="<html>")}, "does not answer as one of OpenID Connect"),
        ({"answer": web.Response(status=502, text="bad gateway")}, "does not answer"),
    ]
    async with browsing(store, {"issuer": liar.url, **GROUPS}) as person:
        assert await tell(person, liar) == (303, "/")
        assert (await person.text_of("/"))[0] == 200
        person.client.session.cookie_jar.clear()
        for lie, sentence in lies:
            for name in ("claims", "key", "algorithm", "answer"):
                setattr(liar, name, lie.get(name, {"claims": {}, "algorithm": "RS256"}.get(name)))
            status, told = await tell(person, liar)
            assert (status in {403, 503}, sentence in told) == (True, True), (lie, status, told)
            assert (await person.text_of("/"))[0] == 303
        state = parse_qs(urlsplit(await person.begin()).query)["state"][0]
        status, told = await person.come_back(f"{CALLBACK}?error=access_denied&error_description=%3Cb%3E&state={state}")
        assert (status, "did not sign you in: access_denied (&lt;b&gt;)" in told) == (403, True)
        state = parse_qs(urlsplit(await person.begin()).query)["state"][0]
        status, told = await person.come_back(f"{CALLBACK}?code=c&state={state}&iss=https%3A%2F%2Fevil.example")
        assert (status, "Another provider has answered" in told) == (403, True)


async def test_keys_are_asked_for_again_when_the_provider_signs_with_a_new_one(
    store: Store, liar: LyingProvider
) -> None:
    clock = ShiftedClock()
    async with browsing(store, {"issuer": liar.url, **GROUPS}, clock) as person:
        assert await tell(person, liar) == (303, "/")
        liar.published, liar.key_id = RSA_KEYS[1], "new"
        status, told = await tell(person, liar)  # they were asked for a moment ago
        assert (status, "cannot be believed" in told) == (403, True)
        clock.more = timedelta(seconds=31)
        assert await tell(person, liar) == (303, "/")


async def test_provider_that_is_away_or_another_one_leaves_signing_in_with_a_token(
    store: Store, liar: LyingProvider
) -> None:
    liar.document = {"issuer": "https://other.example"}
    clock = ShiftedClock()
    async with browsing(store, {"issuer": liar.url, **GROUPS}, clock) as person:
        status, page = await person.text_of(OPENID)
        assert (status, "calls itself https://other.example" in page) == (403, True)
        assert 'name="token"' in page
        liar.document = {"token_endpoint": "http://other.example/token"}
        assert "calls itself https://other.example" in (await person.text_of(OPENID))[1]
        assert liar.asked == 1  # not again within five seconds, whoever presses the button
        clock.more = timedelta(seconds=6)
        assert "token_endpoint is missing or not encrypted" in (await person.text_of(OPENID))[1]
    liar.document = {"code_challenge_methods_supported": ["plain"]}
    for issuer, status, sentence in (
        (liar.url, CheckStatus.WARN, "It does not say that it knows PKCE."),
        (f"{liar.url}/realm", CheckStatus.FAIL, "does not answer as one of OpenID Connect (HTTP 404)"),
    ):
        oidc = {"issuer": issuer, "client_id": "console", **GROUPS}
        check = await check_openid(Settings.model_validate({"_env_file": None, "oidc": oidc}), SystemClock())
        assert (check.status, sentence in check.text) == (status, True), check
    async with browsing(store, {"issuer": "http://127.0.0.1:1", **GROUPS}) as person:
        status, page = await person.text_of(OPENID)
        assert (status, "The provider does not answer." in page) == (503, True)
        assert (await person.client.get(f"{OPENID}/end", allow_redirects=False)).headers["Location"] == "/signin"


async def test_clock_that_is_behind_is_named(store: Store, liar: LyingProvider) -> None:
    async with browsing(store, {"issuer": liar.url, **GROUPS}, ShiftedClock(minutes=-10)) as person:
        status, told = await tell(person, liar)
    assert (status, "seconds ahead of this machine" in told) == (403, True)
    async with browsing(store, {"issuer": liar.url, **GROUPS}, ShiftedClock(seconds=-30)) as person:
        assert await tell(person, liar) == (303, "/")


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "a@example.com", "email_verified": True}, "a@example.com"),
        ({"email": "a@example.com", "email_verified": "true"}, "a@example.com"),
        ({"email": "a@example.com", "xms_edov": 1}, "a@example.com"),
        ({"email": "a@example.com"}, "a@example.com (id-1)"),
        ({"email": "chief@example.com", "email_verified": False, "preferred_username": "mallory"}, "mallory (id-1)"),
        ({"email": "chief@example.com", "email_verified": {}, "preferred_username": "mallory"}, "mallory (id-1)"),
        ({"email": "chief@example.com", "email_verified": [True], "xms_edov": {"1": 1}}, "chief@example.com (id-1)"),
        ({"email": "\u202e", "preferred_username": 5}, "id-1"),
        ({"email": ["a"], "preferred_username": "id-1", "sub": "id-1"}, "id-1"),
        ({"email": "a@example.com", "sub": "s" * 90}, "s" * 80),
        ({"email": "a" * 100, "sub": "id-1"}, "a" * 73 + " (id-1)"),
        (
            {"email": " a\x00b@example.com" + "x" * 200, "email_verified": True},
            ("ab@example.com" + "x" * 200)[:80],
        ),
    ],
)
def test_name_of_a_person_is_what_the_provider_vouches_for(claims: dict[str, object], name: str) -> None:
    settings = OidcSettings(issuer="https://id.example", viewer_groups="*")
    assert identify({"sub": "id-1", **claims}, settings).name == name


def test_address_without_a_word_on_it_counts_if_the_operator_says_so() -> None:
    settings = OidcSettings(issuer="https://id.example", viewer_groups="*", trust_email=True)
    assert identify({"sub": "id-1", "email": "a@example.com"}, settings).name == "a@example.com"
    assert (
        identify({"sub": "id-1", "email": "a@example.com", "email_verified": False}, settings).name != "a@example.com"
    )


async def test_person_never_has_the_name_of_a_token_and_failures_are_counted_before_the_provider_is_asked(
    store: Store, liar: LyingProvider
) -> None:
    async with store.transaction() as uow:
        await tokens.create(uow, "kim@example.com", Role.VIEWER)
    async with browsing(store, {"issuer": liar.url, **GROUPS}) as person:
        assert await tell(person, liar) == (303, "/")
        host = urlsplit(liar.url).netloc
        assert f"kim@example.com@{host}" in (await person.text_of("/"))[1]
        person.client.session.cookie_jar.clear()
        liar.claims = {"groups": ["nobody"]}
        with capture_logs() as logs:
            statuses = [(await tell(person, liar))[0] for _ in range(SIGN_INS_PER_MINUTE + 2)]
        assert (statuses[0], statuses[-1]) == (403, 429)
        assert "kim" not in str(logs)
        assert "nobody" not in str(logs)
        asked = liar.tokens_asked
        assert (await tell(person, liar))[0] == 429
        assert liar.tokens_asked == asked


def test_highest_role_counts_and_claims_may_be_nested() -> None:
    settings = OidcSettings(
        issuer="https://id.example",
        client_id="c",
        roles_claim="realm_access.roles",
        viewer_groups="*",
        ops_groups="a, b",
    )
    assert identify({"sub": "1", "realm_access": {"roles": ["x", "b"]}}, settings).role is Role.OPS
    assert identify({"sub": "1", "realm_access.roles": ["a"]}, settings).role is Role.OPS
    assert identify({"sub": "1", "realm_access": ["a"]}, settings).role is Role.VIEWER


async def test_outage_of_the_provider_locks_nobody_out(
    store: Store, liar: LyingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.web.console.sign_in.SIGN_INS_PER_MINUTE", 2)
    async with browsing(store, {"issuer": liar.url, **GROUPS}) as person:
        for _ in range(4):
            liar.answer = web.Response(status=502, text="bad gateway")
            assert (await tell(person, liar))[0] == 503
        liar.answer = None
        assert await tell(person, liar) == (303, "/")
