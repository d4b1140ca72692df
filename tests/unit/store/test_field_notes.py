"""What the journal keeps of fields: names always, values by the settings, long texts shortened."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from connector.model.field_notes import FieldNote, MergedField, SentRecord
from connector.settings.retention import KeptValues
from connector.store.field_notes import LONGEST_VALUE, dump_fields, load_fields

PERSONAL = {"Account": frozenset({"Name", "Phone"})}
SENT = [
    SentRecord(sobject="Account", key="C-1", fields={"Name": "Ann", "Tier__c": "gold", "Phone": None}),
    SentRecord(sobject="OrderItem", key="1-1", fields={"Quantity": Decimal("1.50")}),
    SentRecord(sobject="OrderItem", key="1-2", fields={"Quantity": Decimal(2)}),
    SentRecord(sobject="OrderItem", key="1-3", fields={}),
]
MERGED = [
    MergedField(sobject="Account", key="C-1", field="Phone", base="1", local="2", remote="3", effect="taken", why="x"),
    MergedField(
        sobject="Account", key="C-1", field="Tier__c", base="a", local="b", remote="c", effect="taken", why="x"
    ),
]


def kept(values: KeptValues) -> dict[tuple[str, str], tuple[object, bool, bool]]:
    notes = load_fields(dump_fields(SENT, [], PERSONAL, values))
    return {(note.key, note.field): (note.value, note.is_kept, note.is_personal) for note in notes}


def test_all_values_are_kept_with_what_is_personal() -> None:
    assert kept(KeptValues.ALL) == {
        ("C-1", "Tier__c"): ("gold", True, False),
        ("C-1", "Name"): ("Ann", True, True),
        ("C-1", "Phone"): (None, True, True),
        ("1-1", "Quantity"): ("1.50", True, False),
        ("1-2", "Quantity"): ("2", True, False),
        ("1-3", ""): (None, True, False),  # it was deleted
    }


def test_names_are_kept_where_values_are_not() -> None:
    business, none = kept(KeptValues.BUSINESS), kept(KeptValues.NONE)
    assert business["C-1", "Name"] == (None, False, True)
    assert business["C-1", "Tier__c"] == ("gold", True, False)
    assert {name: value for name, (value, _, _) in none.items()} == dict.fromkeys(kept(KeptValues.ALL))
    assert "Ann" not in (dump_fields(SENT, MERGED, PERSONAL, KeptValues.BUSINESS) or "")
    assert "gold" not in (dump_fields(SENT, MERGED, PERSONAL, KeptValues.NONE) or "")


def test_merged_fields_have_three_values_and_a_reason() -> None:
    phone, tier = load_fields(dump_fields([], MERGED, PERSONAL, KeptValues.BUSINESS))
    assert (phone.base, phone.local, phone.remote, phone.is_kept, phone.is_personal) == (None, None, None, False, True)
    assert (tier.base, tier.local, tier.remote, tier.effect, tier.why) == ("a", "b", "c", "taken", "x")


def test_long_text_is_shortened_and_nothing_is_nothing() -> None:
    record = SentRecord(sobject="Order", key="1", fields={"Description": "x" * 32_000, "PoNumber": "7"})
    description, number = load_fields(dump_fields([record], [], {}, KeptValues.ALL))
    assert (len(str(description.value)), number.value) == (LONGEST_VALUE + 1, "7")
    assert dump_fields([], [], PERSONAL, KeptValues.ALL) is None
    assert load_fields(None) == ()


def test_what_a_send_replaced_is_kept_whole_where_it_is_known() -> None:
    long = "x" * 5_000
    update = SentRecord(
        sobject="Account", key="C-1", fields={"Name": "Bob", "Tier__c": "gold", "Note__c": "n", "Credit__c": 2},
        record_id="001", before={"Name": "Ann", "Note__c": long, "Credit__c": Decimal("1.50")},
    )  # fmt: skip
    created = replace(update, key="C-2", before=None, record_id=None, created=True)
    deleted = SentRecord(sobject="OrderItem", key="1-3", fields={}, record_id="802", before={"Quantity": Decimal(2)})

    def read(values: KeptValues) -> list[FieldNote]:
        return [*load_fields(dump_fields([update, created, deleted], [], PERSONAL, values))]

    notes = {(note.key, note.field): (note.before, note.has_before, note.record_id) for note in read(KeptValues.ALL)}
    assert notes["C-1", "Name"] == ("Ann", True, "001")
    assert notes["C-1", "Tier__c"] == (None, False, "001")  # it is not known what was there
    assert notes["C-1", "Note__c"] == (long, True, "001")
    assert notes["C-1", "Credit__c"] == (Decimal("1.50"), True, "001")
    assert {item[1:] for name, item in notes.items() if name[0] == "C-2"} == {(False, None)}
    assert notes["1-3", "Quantity"] == (Decimal(2), True, "802")
    assert {note.key for note in read(KeptValues.ALL) if note.created} == {"C-2"}
    business = {(note.key, note.field): note.has_before for note in read(KeptValues.BUSINESS)}
    assert (business["C-1", "Name"], business["C-1", "Credit__c"]) == (False, True)
    assert not any(note.has_before for note in read(KeptValues.NONE))
