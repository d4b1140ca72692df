"""What every org has from its first day: itself, an administrator, the standard price book, its order statuses."""

from __future__ import annotations

from connector.localorg.auth import Identity
from connector.localorg.dml import Dml
from connector.localorg.plan import Row

USERNAME = "admin@local-org.example"


def seed(dml: Dml) -> Identity:
    """Idempotent: an org that was seeded before keeps its rows, and gets status rows for values added since."""
    with dml.storage.transaction():
        organization = dml.one('SELECT "Id" FROM "Organization"')
        if organization is None:
            organization, user = _first_day(dml)
        else:
            user = dml.one('SELECT "Id" FROM "User" ORDER BY "Id" LIMIT 1')
        dml.user_id = user
        if not dml.one('SELECT 1 FROM "Pricebook2" WHERE "IsStandard" = 1'):
            dml.force_insert("Pricebook2", Name="Standard Price Book", IsActive=1, IsStandard=1)
        _seed_statuses(dml)
        dml.storage.changes.clear()
    username = dml.one('SELECT "Username" FROM "User" WHERE "Id" = ?', user)
    return Identity(organization_id=organization, user_id=user, username=username, email=username)


def _first_day(dml: Dml) -> tuple[str, str]:
    organization = dml.force_insert(
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
    user = dml.force_insert(
        "User",
        Username=USERNAME,
        FirstName="Local",
        LastName="Administrator",
        Name="Local Administrator",
        Alias="admin",
        Email=USERNAME,
        IsActive=1,
        UserType="Standard",
        TimeZoneSidKey="UTC",
        LocaleSidKey="en_US",
        LanguageLocaleKey="en_US",
        EmailEncodingKey="UTF-8",
    )
    for name, record_id in (("Organization", organization), ("User", user)):
        stamps: Row = {field: user for field in ("CreatedById", "LastModifiedById") if field in dml.plan(name).has}
        if stamps:
            dml.set_fields(name, record_id, stamps)
    return organization, user


def _seed_statuses(dml: Dml) -> None:
    status = dml.plan("Order").sobject.get("Status")
    if status is None or dml.schema.get("OrderStatus") is None:
        return
    for place, item in enumerate(status.picklist, start=1):
        if not dml.one('SELECT 1 FROM "OrderStatus" WHERE "ApiName" = ?', item.value):
            dml.force_insert(
                "OrderStatus",
                ApiName=item.value,
                MasterLabel=item.label,
                StatusCode=item.category,
                IsDefault=int(item.default),
                SortOrder=place,
            )
