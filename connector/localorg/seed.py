"""Write what every org has: the organization, an administrator, the standard price book.

It also writes what the settings declare: order statuses, record types, currencies, initial records.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from connector.localorg.dml import Dml
from connector.localorg.field_values import StoredValue
from connector.localorg.org_schema import unknown_names
from connector.localorg.rules.admin_rules import trigger_problem
from connector.localorg.schema import Schema
from connector.localorg.settings import (
    OrgSettings,
    SeedError,
    SeedPath,
    Trigger,
    contradictions,
    dump_settings,
    load_settings,
)
from connector.localorg.soql.condition_evaluator import condition_problem
from connector.localorg.storage import Storage, quote
from connector.localorg.users import Identity, Users
from connector.localorg.write_plan import Row

SeedRecords = dict[str, list[dict[str, Any]]]
"""Initial records by object, as request bodies."""

_SETTINGS = "settings"
_RECORDS = "records"
USERNAME = "admin@local-org.example"
STANDARD_USER = "Standard User"
_USER_SETTINGS = {
    "TimeZoneSidKey": "UTC",
    "LocaleSidKey": "en_US",
    "LanguageLocaleKey": "en_US",
    "EmailEncodingKey": "UTF-8",
}


def seed_org(dml: Dml) -> Identity:
    """Seed the org. An org that was seeded before keeps its rows and gets rows for values added since."""
    with dml.storage.transaction():
        organization = dml.scalar('SELECT "Id" FROM "Organization"')
        if organization is None:
            organization, user = _create_organization(dml)
        else:
            user = dml.scalar('SELECT "Id" FROM "User" ORDER BY "Id" LIMIT 1')
        dml.admin_id = user
        dml.user_id = dml.user_id or user
        if not dml.scalar('SELECT 1 FROM "Pricebook2" WHERE "IsStandard" = 1'):
            dml.platform_insert("Pricebook2", Name="Standard Price Book", IsActive=1, IsStandard=1)
        if not dml.scalar('SELECT 1 FROM "Profile"'):
            profile = dml.platform_insert("Profile", Name="System Administrator", UserType="Standard")
            dml.platform_update("User", user, {"ProfileId": profile})
        if not dml.scalar('SELECT 1 FROM "Profile" WHERE "Name" = ?', STANDARD_USER):
            dml.platform_insert("Profile", Name=STANDARD_USER, UserType="Standard")
        _seed_statuses(dml)
        _seed_record_types(dml)
        _seed_currencies(dml)
        _index_duplicates(dml)
        dml.storage.changes.clear()
    identity = Users(dml.storage, organization).by_id(user)
    assert identity is not None  # the administrator stays active
    return identity


def resolve_settings(storage: Storage, settings: OrgSettings | None) -> tuple[OrgSettings, OrgSettings | None]:
    """Return the settings of this start and those of the last one. Without new settings the last ones apply."""
    stored = storage.get_meta(_SETTINGS)
    before = load_settings(stored) if stored else None
    return settings or before or OrgSettings(), before


def save_settings(storage: Storage, settings: OrgSettings, schema: Schema, before: OrgSettings | None) -> None:
    """Store the settings. SeedError if they contradict themselves, the schema or the settings before."""
    problems = [*contradictions(settings, before), *unknown_names(settings, schema)]
    for index, rule in enumerate(settings.validation_rules):
        sobject = schema.get(rule.sobject)
        problem_text = sobject and condition_problem(schema, sobject, rule.condition)
        if problem_text:
            problems.append((("validation_rules", index, "condition"), problem_text))
    if problems:
        raise SeedError(problems)
    storage.set_meta(_SETTINGS, dump_settings(settings))


def insert_seed_records(dml: Dml, records: SeedRecords) -> None:
    """Insert the initial records once in an org's life, all or none. SeedError lists what the API refused."""
    if not records or dml.storage.get_meta(_RECORDS):
        return
    problems: list[tuple[SeedPath, str]] = []
    with dml.storage.transaction():
        for name, bodies in records.items():
            plan = dml.find_plan(name)
            if plan is None:
                problems.append((("records", name), "this org has no such object"))
                continue
            defaults = user_defaults(dml) if plan.name == "User" else {}
            outcomes = dml.insert(plan, [defaults | _to_json_value(body) for body in bodies])
            for index, outcome in enumerate(outcomes):
                if outcome.error:
                    problems.append((("records", name, index), str(outcome.error)))
        if problems:
            raise SeedError(problems)
        dml.storage.set_meta(_RECORDS, "1")


def user_defaults(dml: Dml) -> dict[str, Any]:
    """Return what a seed file may leave out of a user."""
    profile = dml.scalar('SELECT "Id" FROM "Profile" WHERE "Name" = ?', STANDARD_USER)
    return {**_USER_SETTINGS, "ProfileId": profile}


def check_triggers(dml: Dml, triggers: list[Trigger]) -> None:
    """Raise SeedError for triggers that name what this org does not have."""
    found: list[tuple[SeedPath, str | None]] = [
        (("triggers", index), trigger_problem(dml, trigger)) for index, trigger in enumerate(triggers)
    ]
    if problems := [(where, problem) for where, problem in found if problem]:
        raise SeedError(problems)


def parse_triggers(body: object) -> list[Trigger]:
    """Return the triggers of a list of objects, as in a seed file. ValueError says what is wrong."""
    from pydantic import TypeAdapter

    return TypeAdapter(list[Trigger]).validate_python(body)


def _to_json_value(value: Any) -> Any:
    """Turn a YAML value into what JSON would have."""
    match value:
        case dict():
            return {str(name): _to_json_value(item) for name, item in value.items()}
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat(timespec="seconds")
        case date():
            return value.isoformat()
        case float():
            return Decimal(str(float(value)))
    return value


def _create_organization(dml: Dml) -> tuple[str, str]:
    organization = dml.platform_insert(
        "Organization",
        Name="Local Org",
        OrganizationType="Developer Edition",
        InstanceName="LOCAL1",
        IsSandbox=0,
        LanguageLocaleKey="en_US",
        DefaultLocaleSidKey="en_US",
        TimeZoneSidKey="UTC",
        DefaultCurrencyIsoCode=dml.settings.currency,
    )
    user = dml.platform_insert(
        "User",
        Username=USERNAME,
        FirstName="Local",
        LastName="Administrator",
        Name="Local Administrator",
        Alias="admin",
        Email=USERNAME,
        IsActive=1,
        UserType="Standard",
        **_USER_SETTINGS,
    )
    for name, record_id in (("Organization", organization), ("User", user)):
        stamps: Row = {
            field: user for field in ("CreatedById", "LastModifiedById") if field in dml.plan(name).column_names
        }
        if stamps:
            dml.platform_update(name, record_id, stamps)
    return organization, user


def _seed_statuses(dml: Dml) -> None:
    order = dml.schema.get("Order")
    status = order.all_fields.get("status") if order else None
    if status is None:
        return
    for index, item in enumerate(status.picklist, start=1):
        _upsert_row(
            dml, "OrderStatus", {"ApiName": item.value},
            MasterLabel=item.label, StatusCode=item.category, IsDefault=int(item.default), SortOrder=index,
        )  # fmt: skip
    names = ", ".join("?" * len(status.picklist))
    dml.storage.connection.execute(
        f'DELETE FROM "OrderStatus" WHERE "ApiName" NOT IN ({names})',  # noqa: S608
        [item.value for item in status.picklist],
    )


def _seed_record_types(dml: Dml) -> None:
    for sobject, types in dml.settings.record_types.items():
        for item in types:
            _upsert_row(
                dml, "RecordType", {"SobjectType": dml.plan(sobject).name, "DeveloperName": item.name},
                Name=item.label or item.name.replace("_", " "), IsActive=1, IsPersonType=int(item.person),
            )  # fmt: skip


def _seed_currencies(dml: Dml) -> None:
    for code, item in dml.settings.currencies.items():
        _upsert_row(
            dml, "CurrencyType", {"IsoCode": code}, ConversionRate=item.rate, DecimalPlaces=item.decimal_places,
            IsActive=int(item.active), IsCorporate=int(code == dml.settings.currency),
        )  # fmt: skip


def _index_duplicates(dml: Dml) -> None:
    """Index the fields of duplicate rules, which every write looks up."""
    for rule in dml.settings.duplicate_rules:
        plan = dml.plan(rule.sobject)
        columns = [quote(plan.sobject.all_fields[name.lower()].name) for name in rule.match]
        name = quote(f"ix_duplicate_{plan.name}_{rule.name}")
        dml.storage.connection.execute(
            f"CREATE INDEX IF NOT EXISTS {name} ON {quote(plan.name)} ({', '.join(columns)})"
        )


def _upsert_row(dml: Dml, name: str, key: Row, **values: StoredValue) -> None:
    """Insert the row with that key, or update what differs."""
    where = " AND ".join(f'"{column}" = ?' for column in key)
    record_id = dml.scalar(f'SELECT "Id" FROM "{name}" WHERE {where}', *key.values())  # noqa: S608
    if record_id is None:
        dml.platform_insert(name, **key, **values)
    else:
        present = dml.fetch(name, record_id) or {}
        changed = {column: value for column, value in values.items() if column in present and present[column] != value}
        if changed:
            dml.platform_update(name, record_id, changed, touch=True)
