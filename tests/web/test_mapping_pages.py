"""The pages of mappings: files with their rows, checked and changed, made live, and gone back from."""

from __future__ import annotations

import html
import re
from datetime import timedelta

from connector.mapping.version import read_texts
from connector.model.mapping_drift import Drift, DriftKind
from connector.model.mapping_plan import Direction, Effect, PlanCost, PlanNumbers, RecordEffect, Risk, StoredPlan
from connector.model.role import Role
from connector.store import mapping_drifts, mapping_plans, mapping_versions
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, send, sign_in

EDITOR = "/mappings/files/order.yaml"
TEXT = read_texts()["order.yaml"]


def text_of(page: str) -> str:
    """The file as it stands in the form."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.S)
    assert found is not None
    return html.unescape(found[1])


def values_of(page: str, name: str) -> list[str]:
    return re.findall(rf'name="{name}" value="([^"]*)"', page)


async def test_viewer_reads_mappings_without_values_and_buttons(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/mappings")
    assert ("order.yaml" in text, "No org has answered yet" in text) == (True, True)
    _, text = await open_page(api, EDITOR)
    assert ("EffectiveDate" in text, "W-1" in text, "Make it live" in text) == (True, False, False)
    assert set(re.findall(r'name="do" value="([^"]*)"', text)) <= {"check"}
    await sign_in(api, Role.OPS)
    _, text = await open_page(api, EDITOR)
    assert ("W-1" in text, 'value="plan"' in text) == (True, False)
    assert (await send(api, EDITOR, do="plan", text="x", base=0))[0] == 403
    assert (await open_page(api, "/mappings/files/..%2Fsecret"))[0].status == 404


async def test_viewer_reads_a_plan_without_values_and_reasons(api: Api) -> None:
    about = {"direction": Direction.TO_ORG, "entity": "customer", "key": "C-1", "sobject": "Account"}
    too_long = "Account Phone: data value too large: ann@secret.example"
    effects = [
        RecordEffect(effect=Effect.REFUSED, after=too_long, **about),  # as plans of earlier releases are stored
        RecordEffect(effect=Effect.REFUSED, after=too_long, personal=True, **about),
        RecordEffect(effect=Effect.CHANGED, field="Phone", after="ann@secret.example", personal=True, **about),
    ]
    numbers = PlanNumbers(
        entities=[], fields=[], effects=effects, cost=PlanCost(calls=0, calls_left=None, minutes=0), risk=Risk.HIGH,
        reasons=[], warnings=[],
    )  # fmt: skip
    now = api.store.clock.now()
    plan = StoredPlan(
        id="p1", created_at=now, expires_at=now + timedelta(hours=1), actor="ann", base=None, digest="d",
        rollback_to=None, numbers=numbers,
    )  # fmt: skip
    async with api.store.transaction() as uow:
        await mapping_plans.put(uow, plan, read_texts())
    for role, is_shown in ((Role.VIEWER, False), (Role.OPS, True)):
        await sign_in(api, role)
        answer, page = await open_page(api, "/mappings/plans/p1")
        assert (answer.status, "C-1" in page, page.count("is refused")) == (200, True, 2)
        assert ("secret.example" in page, "The reason is for the role ops." in page) == (is_shown, not is_shown)


async def test_file_is_checked_as_it_stands_in_the_form(api: Api) -> None:
    await sign_in(api, Role.ADMIN)
    wrong = TEXT.replace("Channel__c: channel", "Channel__c: chanel")
    status, page = await send(api, EDITOR, do="check", text=wrong.replace("\n", "\r\n"), base=0)
    assert (status, text_of(page)) == (200, wrong)
    assert "Did you mean `channel`?" in page
    assert "has-error" in page  # at its row
    assert "The rows are those of the live version" in page
    status, page = await send(api, EDITOR, do="check", text="a: [", base=0)
    assert (status, "is not YAML" in page) == (200, True)
    for do in ("nothing", ""):
        assert (await send(api, EDITOR, do=do, text=TEXT, base=0))[0] == 422


async def test_entries_are_changed_added_and_removed_by_row(api: Api) -> None:
    await sign_in(api, Role.ADMIN)
    _, page = await send(api, EDITOR, do="edit:/Status", text=TEXT, base=0)
    assert ('value="stage"' in page, "Do not map Status" in page) == (True, True)
    entry = {"source": "po_number", "source_kind": "path", "owner": "ask", "transform": "", "values": "", "default": ""}
    _, page = await send(api, EDITOR, do="set:/PoNumber", text=TEXT, base=0, name="PoNumber", **entry)
    assert text_of(page) == TEXT.replace("{path: po_number, owner: newest}", "{path: po_number, owner: ask}")
    assert (page.count(">changed</span>"), page.count(">new</span>")) == (2, 0)  # the row, and the file
    status, page = await send(api, EDITOR, do="set:lines/", text=TEXT, base=0, name="", **entry)
    assert (status, "Choose a field of Salesforce." in page, text_of(page)) == (422, True, TEXT)
    status, page = await send(api, EDITOR, do="set:/PoNumber", text=TEXT, base=0, name="PoNumber")
    assert (status, text_of(page)) == (422, TEXT)  # without its other fields
    other = entry | {"source": "unit_price", "owner": "local", "transform": "text", "default": "0"}
    _, page = await send(api, EDITOR, do="set:lines/", text=TEXT, base=0, name="Mine__c", **other)
    assert text_of(page) == TEXT + "      Mine__c: {path: unit_price, transform: text, default: 0}\n"
    other |= {"source_kind": "constant", "source": "'0'", "transform": "", "default": ""}
    _, page = await send(api, EDITOR, do="set:lines/", text=TEXT, base=0, name="Mine__c", **other)
    assert text_of(page) == TEXT + "      Mine__c: {const: '0'}\n"
    assert page.count(">new</span>") == 1
    _, page = await send(api, EDITOR, do="remove:/Channel__c", text=TEXT, base=0)
    assert text_of(page) == TEXT.replace("  Channel__c: channel\n", "")
    status, page = await send(api, EDITOR, do="remove:/Nothing", text=TEXT, base=0)
    assert (status, "There is no entry Nothing." in page) == (422, True)
    status, page = await send(api, EDITOR, do="set:/X__c", text="a: [", base=0, name="X__c", **entry)
    assert (status, "is not YAML" in page, text_of(page)) == (422, True, "a: [")


async def planned(api: Api, text: str, base: int) -> tuple[str, str]:
    """Preview a text; the address of the plan, and its page."""
    _, page = await open_page(api, "/")
    proof = values_of(page, "form_proof")[0]
    form = {"form_proof": proof, "do": "plan", "text": text, "base": str(base)}
    async with api.client.post(EDITOR, data=form, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        where = answer.headers["Location"]
    return where, (await open_page(api, where))[1]


async def test_file_becomes_live_by_a_plan_with_a_note_and_is_gone_back_from(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.ADMIN)
    for sentence, form in (
        ("Nothing has changed", {"text": TEXT, "base": 0}),
        ("made live meanwhile", {"text": TEXT + "# Ours.\n", "base": 7}),
        ("has no `nothing`", {"text": TEXT.replace(": stage\n", ": nothing\n"), "base": 0}),
    ):
        status, page = await send(api, EDITOR, do="plan", **form)
        assert (status, sentence in page, text_of(page)) == (422, True, form["text"])

    first = TEXT.replace("  Channel__c: channel\n", "")
    where, page = await planned(api, first, 0)
    assert ("Channel__c: channel" in page, "Nothing was live before." in page) == (True, False)  # the files in use
    status, page = await send(api, where, note=" ", resync="yes")
    assert (status, "Say in a few words why" in page) == (422, True)
    status, page = await send(api, where, note="Nobody reads it", resync="yes")
    assert (status, "Version 1 is live for every process." in page) == (303, True)
    _, page = await open_page(api, where)
    assert ("It is live as" in page, "Make it live" in page) == (True, False)
    assert (await send(api, where, note="Twice"))[0] == 409

    second = first.replace("  Carrier__c: carrier\n", "")
    status, page = await send(api, EDITOR, do="plan", text=second, base=0)
    assert (status, "You began with version 0; version 1 is live now" in page, text_of(page)) == (422, True, second)
    _, page = await send(api, EDITOR, do="rebase", text=second, base=0)
    assert (values_of(page, "base"), text_of(page)) == (["1"], second)
    late, _ = await planned(api, first + "# Late.\n", 1)
    where, page = await planned(api, second, 1)
    assert '<span class="removed">-  Carrier__c: carrier</span>' in page
    status, page = await send(api, where, note="Again", resync="yes")
    assert "Version 2 is live for every process. What it changes is being sent." in page
    assert 'href="/resyncs/1"' in page  # with its progress
    assert "Another version was made live since" in (await open_page(api, late))[1]
    status, page = await send(api, late, note="Late")
    assert (status, "version 2 is active" in page) == (409, True)

    _, page = await open_page(api, "/mappings/versions")
    assert [text in page for text in ("Nobody reads it", "Again", "admin of tests", "order.yaml")] == [True] * 4
    _, page = await open_page(api, "/mappings/versions/1")
    assert '<span class="added">+  Carrier__c: carrier</span>' in page
    status, page = await send(api, "/mappings/versions/1")
    assert (status, "Going back to version 1" in page) == (303, True)
    assert (await send(api, "/mappings/versions/2"))[0] == 409  # it is live
    assert (await send(api, "/mappings/versions/9"))[0] == 404
    assert (await open_page(api, "/mappings/plans/none"))[0].status == 404
    found = re.search(r'action="(/mappings/plans/\w+)"', page)
    assert found is not None
    status, page = await send(api, found[1], note="Needed")
    assert "Version 3 is live for every process.</span>" in page  # and no resync, as nobody asked for one
    async with api.store.reader() as connection:
        active = await mapping_versions.get_active(connection)
        assert active is not None
        texts = await mapping_versions.get_texts(connection, active.digest)
    assert (active.number, active.author, active.note) == (3, "admin of tests", "Needed")
    assert texts is not None
    assert texts["order.yaml"] == first


async def test_viewer_sees_a_plan_without_values_that_may_be_personal(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.ADMIN)
    where, page = await planned(api, TEXT.replace("{path: notes, owner: newest}", "customer.name"), 0)
    assert "Make it live" in page
    await sign_in(api, Role.VIEWER)
    answer, page = await open_page(api, where)
    assert (answer.status, "Make it live" in page, "The lines that differ" in page) == (200, False, True)
    assert (await send(api, where, note="x"))[0] == 403


async def test_change_of_the_org_is_shown_until_an_admin_accepts_it(api: Api) -> None:
    drift = Drift(level="warning", kind=DriftKind.LENGTH, sobject="Order", field="Description", text="Is <b> shorter.",
                  places=("mappings/order.yaml:14",))  # fmt: skip
    async with api.store.transaction() as uow:
        await mapping_drifts.record(uow, "00D", [drift])
    await sign_in(api, Role.OPS)
    _, page = await open_page(api, "/mappings")
    assert ("Is &lt;b&gt; shorter." in page, "All of this is meant" in page) == (True, False)
    await sign_in(api, Role.ADMIN)
    assert "All of this is meant" in (await open_page(api, "/mappings"))[1]
    status, page = await send(api, "/mappings/drift/accept")
    assert (status, "The orgs are taken as they are now." in page) == (303, True)


async def test_version_is_computed_in_the_shadow_and_forgotten_or_made_live(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.ADMIN)
    assert "No version is computed in the shadow." in (await open_page(api, "/mappings/shadow"))[1]
    first = TEXT.replace("  Channel__c: channel\n", "")
    where, _ = await planned(api, first, 0)
    await send(api, where, note="First")
    _, page = await open_page(api, "/mappings")
    assert "Previewed, and not live" not in page  # it is live
    for verb, told in (("discard", "It is not computed any more."), ("", "Version 2 is live for every process.")):
        where, page = await planned(api, TEXT, 1)
        assert f'href="{where}"' in (await open_page(api, "/mappings"))[1]
        assert "Try it, and send nothing" in page
        status, page = await send(api, where, do="shadow", note="To see")
        assert (status, "It is computed from now on, and nothing of it is sent." in page) == (303, True)
        assert "Another version is computed in the shadow" in (await open_page(api, "/mappings"))[1]
        assert (await send(api, "/mappings/shadow", note=""))[0] == 422
        assert told in (await send(api, "/mappings/shadow", do=verb, note="It is well"))[1]
    assert "No version is computed" in (await open_page(api, "/mappings/shadow"))[1]
    assert (await send(api, "/mappings/shadow", do="discard"))[0] == 404
