"""The pages of mappings: files with their rows, checked and changed, made live, and gone back from."""

from __future__ import annotations

import html
import re

from connector.mapping.version import read_texts
from connector.model.role import Role
from connector.store import mapping_versions
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
    assert ("order.yaml" in text, "No org has told what it is like yet" in text) == (True, True)
    _, text = await open_page(api, EDITOR)
    assert ("EffectiveDate" in text, "W-1" in text, "Make it live" in text) == (True, False, False)
    assert set(re.findall(r'name="do" value="([^"]*)"', text)) <= {"check"}
    await sign_in(api, Role.OPS)
    _, text = await open_page(api, EDITOR)
    assert ("W-1" in text, 'value="review"' in text) == (True, False)
    assert (await send(api, EDITOR, do="review", text="x", base=0))[0] == 403
    assert (await open_page(api, "/mappings/files/..%2Fsecret"))[0].status == 404


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
    status, page = await send(api, EDITOR, do="set:lines/", text=TEXT, base=0, name="", **entry)
    assert (status, "Choose a field of Salesforce." in page, text_of(page)) == (422, True, TEXT)
    other = entry | {"source": "unit_price", "owner": "local", "transform": "text", "default": "0"}
    _, page = await send(api, EDITOR, do="set:lines/", text=TEXT, base=0, name="Mine__c", **other)
    assert text_of(page) == TEXT + "      Mine__c: {path: unit_price, transform: text, default: 0}\n"
    other |= {"source_kind": "constant", "source": "'0'", "transform": "", "default": ""}
    _, page = await send(api, EDITOR, do="set:lines/", text=TEXT, base=0, name="Mine__c", **other)
    assert text_of(page) == TEXT + "      Mine__c: {const: '0'}\n"
    _, page = await send(api, EDITOR, do="remove:/Channel__c", text=TEXT, base=0)
    assert text_of(page) == TEXT.replace("  Channel__c: channel\n", "")
    status, page = await send(api, EDITOR, do="remove:/Nothing", text=TEXT, base=0)
    assert (status, "There is no entry Nothing." in page) == (422, True)
    status, page = await send(api, EDITOR, do="set:/X__c", text="a: [", base=0, name="X__c", **entry)
    assert (status, "not valid YAML" in page, text_of(page)) == (422, True, "a: [")


async def test_file_becomes_live_with_a_note_and_is_gone_back_from(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.ADMIN)
    for status, sentence, form in (
        (422, "Nothing has changed", {"do": "review", "text": TEXT, "base": 0}),
        (422, "Say in a few words why", {"do": "apply", "text": TEXT + "# Ours.\n", "base": 0, "note": " "}),
        (422, "made live meanwhile", {"do": "review", "text": TEXT + "# Ours.\n", "base": 7}),
        (422, "has no `nothing`", {"do": "apply", "text": TEXT.replace(": stage\n", ": nothing\n"), "base": 0,
                                   "note": "x"}),
    ):  # fmt: skip
        answer = await send(api, EDITOR, **form)
        assert (answer[0], sentence in answer[1], text_of(answer[1])) == (status, True, form["text"])

    first = TEXT.replace("  Channel__c: channel\n", "")
    _, page = await send(api, EDITOR, do="review", text=first, base=0)
    assert ('<span class="removed">-  Channel__c: channel</span>' in page, "Make it live" in page) == (True, True)
    status, page = await send(api, EDITOR, do="apply", text=first, base=0, note="Nobody reads it", resync="yes")
    assert (status, "Version 1 is live for every process." in page) == (303, True)

    second = first.replace("  Carrier__c: carrier\n", "")
    status, page = await send(api, EDITOR, do="apply", text=second, base=0, note="Late", resync="yes")
    assert (status, "You began with version 0; version 1 is live now" in page, text_of(page)) == (422, True, second)
    _, page = await send(api, EDITOR, do="rebase", text=second, base=0)
    assert (values_of(page, "base"), text_of(page)) == (["1"], second)
    status, page = await send(api, EDITOR, do="apply", text=second, base=1, note="Again", resync="yes")
    assert "Version 2 is live for every process. Resync 1 sends what it changes." in page

    _, page = await open_page(api, "/mappings/versions")
    assert [text in page for text in ("Nobody reads it", "Again", "admin of tests", "order.yaml")] == [True] * 4
    _, page = await open_page(api, "/mappings/versions/1")
    assert '<span class="added">+  Carrier__c: carrier</span>' in page
    status, page = await send(api, "/mappings/versions/1", base=2, note="")
    assert (status, "Say in a few words why" in page) == (422, True)
    status, page = await send(api, "/mappings/versions/1", base=1, note="Needed", resync="yes")
    assert (status, "The mappings have changed: version 2 is active" in page) == (409, True)
    status, page = await send(api, "/mappings/versions/1", base=2, note="Needed", resync="yes")
    assert "Version 3 is live for every process. Resync 2 sends what it changes." in page
    assert (await send(api, "/mappings/versions/9", base=3, note="x"))[0] == 404
    async with api.store.reader() as connection:
        active = await mapping_versions.get_active(connection)
        assert active is not None
        texts = await mapping_versions.get_texts(connection, active.digest)
    assert (active.number, active.author, active.note) == (3, "admin of tests", "Needed")
    assert texts is not None
    assert texts["order.yaml"] == first
