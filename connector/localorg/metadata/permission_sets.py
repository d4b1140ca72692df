"""Permission sets and their assignments, as records that clients query and write."""

from __future__ import annotations

from collections.abc import Iterable

from connector.localorg.dml import Dml
from connector.localorg.metadata.deployed import DeployedMetadata, PermissionSet

PERMISSION_SET, ASSIGNMENT = "PermissionSet", "PermissionSetAssignment"


def sync_records(dml: Dml, deployed: DeployedMetadata) -> None:
    """Write a record for every deployed permission set."""
    with dml.storage.transaction():
        for grant in deployed.grants.values():
            record_id = dml.scalar('SELECT "Id" FROM "PermissionSet" WHERE "Name" = ?', grant.name)
            if record_id is None:
                dml.platform_insert(
                    PERMISSION_SET,
                    Name=grant.name,
                    Label=grant.label,
                    Description=grant.description or None,
                    IsCustom=1,
                )
            else:
                dml.platform_update(
                    PERMISSION_SET, record_id, {"Label": grant.label, "Description": grant.description or None}
                )
        _delete_removed(dml, deployed)
        dml.storage.changes.clear()


def _delete_removed(dml: Dml, deployed: DeployedMetadata) -> None:
    """Delete the records of removed permission sets, and their assignments."""
    run = dml.storage.connection.execute
    rows = run('SELECT "Id", "Name" FROM "PermissionSet" WHERE "IsCustom" = 1').fetchall()
    for record_id in [record_id for record_id, name in rows if name not in deployed.grants]:
        run('DELETE FROM "PermissionSetAssignment" WHERE "PermissionSetId" = ?', (record_id,))
        run('DELETE FROM "PermissionSet" WHERE "Id" = ?', (record_id,))


def assign(dml: Dml, deployed: DeployedMetadata, names: Iterable[str]) -> None:
    """Assign these permission sets to the administrator if they are not yet."""
    sync_records(dml, deployed)
    with dml.storage.transaction():
        for name in names:
            record_id = dml.scalar('SELECT "Id" FROM "PermissionSet" WHERE "Name" = ?', name)
            assignment_sql = 'SELECT 1 FROM "PermissionSetAssignment" WHERE "PermissionSetId" = ? AND "AssigneeId" = ?'
            if not dml.scalar(assignment_sql, record_id, dml.admin_id):
                dml.platform_insert(ASSIGNMENT, PermissionSetId=record_id, AssigneeId=dml.admin_id)
        dml.storage.changes.clear()


def assigned_to_user(dml: Dml, deployed: DeployedMetadata) -> list[PermissionSet]:
    """Return the permission sets of the administrator, which count for every user."""
    rows = dml.storage.connection.execute(
        'SELECT s."Name" FROM "PermissionSetAssignment" a JOIN "PermissionSet" s ON s."Id" = a."PermissionSetId"'
        ' WHERE a."AssigneeId" = ?',
        (dml.admin_id,),
    )
    return [deployed.grants[name] for [name] in rows.fetchall() if name in deployed.grants]
