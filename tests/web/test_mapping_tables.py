"""Value tables in the editor of mappings: rows are changed, and tables are made, without a line of YAML."""

from __future__ import annotations

import html
import json
import re

import pytest

from connector.mapping.version import read_texts
from connector.model.role import Role
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, send, sign_in
from tests.web.test_mapping_pages import EDITOR, TEXT, text_of

STATUS = "/mappings/files/values%2Forder_status.yaml"
TABLE = read_texts()["values/order_status.yaml"]
ENTRY = {"source": "priority", "source_kind": "path", "owner": "local", "transform": "", "default": ""}


def fields_of(page: str) -> dict[str, str]:
    """The rows of tables, and the drafts, as the form sends them back."""
    found = {}
    for tag in re.findall(r"<input[^>]*>", page):
        name, value = (re.search(rf' {key}="([^"]*)"', tag) for key in ("name", "value"))
        if name is not None and value is not None and re.match(r"(ours|theirs|was|had)-|tables$", name[1]):
            found[name[1]] = html.unescape(value[1])
    return found


def drafts_of(page: str) -> dict[str, str]:
    return dict(json.loads(fields_of(page)["tables"]))


async def test_rows_of_a_table_are_changed_and_become_live_by_a_plan(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.ADMIN)
    _, page = await open_page(api, STATUS)
    rows = fields_of(page)
    assert (rows["ours-order_status-0"], rows["theirs-order_status-0"]) == ("placed", "Draft")
    rows |= {"theirs-order_status-1": "Activated", "ours-order_status-8": "*", "theirs-order_status-8": "Draft"}
    form = {"text": TABLE, "base": 0, **rows}
    _, page = await send(api, STATUS, do="rows:order_status", **form)
    expected = TABLE.replace("verified: Draft", "verified: Activated") + "'*': Draft\n"
    assert text_of(page) == expected
    assert fields_of(page)["ours-order_status-9"] == ""  # room for another one
    status, page = await send(api, STATUS, do="rows:order_status", text=TABLE, base=0,
                              **rows | {"ours-order_status-2": "placed"})  # fmt: skip
    assert (status, "There is a row for placed already" in page, text_of(page)) == (422, True, TABLE)
    status, page = await send(api, STATUS, do="plan", **form)  # what was not taken over before counts, too
    assert (status, "verified: Activated" in page) == (303, True)


async def test_text_that_is_typed_keeps_what_stands_in_the_rows(api: Api) -> None:
    await sign_in(api, Role.ADMIN)
    rows = fields_of((await open_page(api, STATUS))[1]) | {"theirs-order_status-0": "Activated"}
    typed = TABLE + "# typed\n"
    async with api.client.post(
        STATUS,
        data={"do": "check", "text": typed, "base": 0, **rows, **await proof(api)},
        headers={"HX-Request": "true"},
    ) as answer:
        page = await answer.text()
    assert (text_of(page), fields_of(page)["theirs-order_status-0"]) == (typed, "Activated")
    _, page = await send(api, STATUS, do="check", text=typed, base=0, **rows)
    assert text_of(page) == typed.replace("placed: Draft", "placed: Activated")


async def proof(api: Api) -> dict[str, str]:
    _, page = await open_page(api, STATUS)
    found = re.search(r'name="form_proof" value="([^"]*)"', page)
    assert found is not None
    return {"form_proof": found[1]}


async def test_field_gets_a_new_table_and_both_become_live_at_once(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.ADMIN)
    for name, sentence in (
        ("", "Name the new table"),
        ("a b", "Name the new table"),
        ("order_status", "There is a table"),
    ):
        status, page = await send(
            api, EDITOR, do="set:/Priority__c", text=TEXT, base=0, values="+", new_table=name, **ENTRY
        )
        assert (status, sentence in page, text_of(page)) == (422, True, TEXT)
    _, page = await send(api, EDITOR, do="set:/Priority__c", text=TEXT, base=0, values="+", new_table="ranks", **ENTRY)
    text = text_of(page)
    assert "Priority__c: {path: priority, values: ranks}" in text
    assert drafts_of(page) == {"ranks": "'*': null\n"}
    assert 'aria-label="Ours, row 1 of ranks"' in page
    rows = fields_of(page) | {"ours-ranks-0": "*", "theirs-ranks-0": "9"}
    status, page = await send(api, EDITOR, do="check", text=text, base=0, **rows)
    assert drafts_of(page) == {"ranks": "'*': 9\n"}
    status, page = await send(api, EDITOR, do="table:order_status", text=text, base=0, **fields_of(page))
    assert drafts_of(page).keys() == {"ranks", "order_status"}
    status, page = await send(api, EDITOR, do="plan", text=text, base=0, **fields_of(page))
    assert (status, "values/ranks.yaml" in page, "values/order_status.yaml" in page) == (303, True, False)


async def test_table_is_made_on_its_own_page(api: Api) -> None:
    await sign_in(api, Role.ADMIN)
    status, page = await send(api, "/mappings/tables", name="not this!")
    assert (status, "Name the table with letters" in page) == (422, True)
    status, page = await send(api, "/mappings/tables", name="ranks")
    assert (status, 'aria-label="Ours, row 1 of ranks"' in page, text_of(page)) == (303, True, '"*": null\n')
    await sign_in(api, Role.VIEWER)
    assert (await open_page(api, "/mappings/files/values%2Franks.yaml"))[0].status == 404
    assert (await send(api, "/mappings/tables", name="ranks"))[0] == 403
    _, page = await open_page(api, STATUS)
    assert ("readonly" in page, 'value="rows:' in page) == (True, False)


@pytest.mark.parametrize("drafts", ["x", "[]", '{"a b": "x"}', '{"x": 7}', '{"../x": "y"}'])
async def test_drafts_that_no_page_has_sent_are_left_out(api: Api, drafts: str) -> None:
    await sign_in(api, Role.ADMIN)
    status, page = await send(api, EDITOR, do="check", text=TEXT, base=0, tables=drafts)
    assert (status, drafts_of(page)) == (200, {})
