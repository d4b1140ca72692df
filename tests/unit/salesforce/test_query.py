"""SOQL text: quoting, and splitting of long lists."""

from __future__ import annotations

import pytest

from connector.errors import TransportError
from connector.salesforce.limits import MAX_URL
from connector.salesforce.query import encoded, fits_url, in_chunks, query_path, read_page, soql


def test_quoted_value_escapes_the_backslash_first() -> None:
    text = soql("SELECT Id FROM {what:literal} WHERE Name = {name}", what="Account", name="O'Neil \\ Sons")
    assert text == "SELECT Id FROM Account WHERE Name = 'O\\'Neil \\\\ Sons'"


def test_long_list_of_values_is_split_into_queries_that_fit_a_url() -> None:
    keys = [f"key/{number}'ü" for number in range(2_000)]
    template = "SELECT Id FROM Order WHERE External_Key__c IN {values} AND Currency = {currency}"
    queries = list(in_chunks(template, keys, currency="USD"))
    assert len(queries) > 1
    assert all(fits_url(query_path(query)) for query in queries)
    assert sum(query.count("key/") for query in queries) == 2_000
    assert all(len(encoded(query)) < MAX_URL for query in queries)


def test_empty_list_of_values_makes_no_query() -> None:
    assert list(in_chunks("SELECT Id FROM Order WHERE Id IN {values}", [])) == []


def test_value_too_long_for_a_url_is_rejected() -> None:
    with pytest.raises(ValueError, match="too long"):
        list(in_chunks("SELECT Id FROM Order WHERE Id IN {values}", ["x" * 20_000]))


def test_child_records_are_read_without_attributes() -> None:
    row = {
        "attributes": {},
        "Id": "1",
        "OrderItems": {"totalSize": 1, "done": True, "records": [{"attributes": {}, "Quantity": 1}]},
    }
    rows, following = read_page({"records": [row], "done": True})
    assert following is None
    assert rows[0]["OrderItems"]["records"] == [{"Quantity": 1}]


def test_next_page_on_another_host_is_not_followed() -> None:
    with pytest.raises(TransportError):
        read_page({"records": [], "done": False, "nextRecordsUrl": "https://evil.example/services/data/"})
