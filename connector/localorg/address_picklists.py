"""State and country picklists: an address takes only the countries and states of a list, by label or by code.

With them, each address has two more fields, `BillingCountryCode` and `BillingStateCode`, and either form of a value
sets the other one (Salesforce Help, "State and Country/Territory Picklists").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connector.localorg.errors import Refusal
from connector.localorg.schema import Field, PicklistValue, Schema
from connector.localorg.settings import Country

Countries = Mapping[str, Country]
"""The countries by label."""
_COUNTRY, _STATE, _CODE = "Country", "State", "Code"


def add_code_fields(schema: Schema, countries: Countries) -> None:
    """Give each address of each object its two code fields."""
    values = {
        _COUNTRY: {item.code: label for label, item in countries.items()},
        _STATE: {code: label for item in countries.values() for label, code in item.states.items()},
    }
    for sobject in schema:
        for field in list(sobject.all_fields.values()):
            for part, by_code in values.items():
                if field.compound_field_name and field.name.endswith(part):
                    sobject.add(_code_field(field, by_code))


def _code_field(field: Field, by_code: Mapping[str, str]) -> Field:
    options = tuple(PicklistValue(value=code, label=label) for code, label in sorted(by_code.items()))
    return replace(
        field,
        name=f"{field.name}{_CODE}",
        label=f"{field.label} Code",
        type="picklist",
        length=10,
        restricted_picklist=True,
        picklist=options,
    )


def complete(countries: Countries, row: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Set code and label of the countries and states of `row` from what the caller has `given` of either.

    Refusal if the list does not have them, or if a state has no country.
    """
    prefixes = {
        name.removesuffix(_CODE).removesuffix(_COUNTRY).removesuffix(_STATE)
        for name in given
        if name.removesuffix(_CODE).endswith((_COUNTRY, _STATE)) and f"{name.removesuffix(_CODE)}{_CODE}" in row
    }
    for prefix in sorted(prefixes):
        _complete_address(countries, row, given, prefix)


def _complete_address(countries: Countries, row: dict[str, Any], given: Mapping[str, Any], prefix: str) -> None:
    name = f"{prefix}{_COUNTRY}"
    label = _chosen(row, given, name, {item.code: label for label, item in countries.items()})
    if label is not None and label not in countries:
        raise _not_listed("country", "country/territory", "countries", prefix, name, "Country/Territory")
    country = None if label is None else countries[label]
    row[name], row[f"{name}{_CODE}"] = label, None if country is None else country.code

    name = f"{prefix}{_STATE}"
    states = {} if country is None else country.states
    state = _chosen(row, given, name, {code: label for label, code in states.items()})
    if state is not None and country is None:
        raise Refusal(
            "FIELD_INTEGRITY_EXCEPTION",
            f"A country/territory must be specified before specifying a state value for field: {prefix} State/Province",
            fields=[name],
        )
    if state is not None and state not in states:
        raise _not_listed("state", "state", "states", prefix, name, "State/Province")
    row[name], row[f"{name}{_CODE}"] = state, None if state is None else states[state]


def _chosen(row: Mapping[str, Any], given: Mapping[str, Any], name: str, by_code: Mapping[str, str]) -> str | None:
    """The label that is meant: a code counts if the caller gave one, and gave no label."""
    code = f"{name}{_CODE}"
    value = row.get(name) if name in given or code not in given else row.get(code)
    return None if value is None else by_code.get(value, value)


def _not_listed(kind: str, choice: str, choices: str, prefix: str, field: str, label: str) -> Refusal:
    return Refusal(
        "FIELD_INTEGRITY_EXCEPTION",
        f"There's a problem with this {kind}, even though it may appear correct. Please select a {choice} from the list"  # noqa: S608
        f" of valid {choices}.: {prefix} {label}",
        fields=[field],
    )
