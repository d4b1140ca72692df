"""Deploys our fields, events and permission set, and gives the permission set to the connector's own user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from connector.clock import Clock
from connector.errors import RefusedError
from connector.salesforce.client import SalesforceClient
from connector.salesforce.metadata import DeployResult, Package, build_package, current_user_id, deploy
from connector.salesforce.query import soql


@dataclass(frozen=True, kw_only=True)
class DeploySummary:
    """The result of a deployment. `assigned`: permission sets that the connector's user was given. `unassigned`: those
    that it still lacks, with the reason."""

    package: Package
    deployed: DeployResult
    check_only: bool
    assigned: tuple[str, ...] = ()
    unassigned: tuple[tuple[str, str], ...] = ()


async def deploy_metadata(
    client: SalesforceClient,
    root: Path,
    *,
    version: str,
    clock: Clock,
    check_only: bool = False,
    assign: bool = True,
    on_progress: Callable[[int, int], None],
) -> DeploySummary:
    """Deploy the source project under `root`, everything or nothing. The result lists what the org refused."""
    package = build_package(root, version=version)
    deployed = await deploy(client.control, package, clock=clock, check_only=check_only, on_progress=on_progress)
    summary = DeploySummary(package=package, deployed=deployed, check_only=check_only)
    names = package.members.get("PermissionSet", ())
    if check_only or not assign or not deployed.succeeded or not names:
        return summary
    assigned, unassigned = await _assign_permission_sets(client, names)
    return DeploySummary(package=package, deployed=deployed, check_only=False, assigned=assigned, unassigned=unassigned)


async def _assign_permission_sets(
    client: SalesforceClient, names: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Assign these permission sets to the connector's user. A field that no permission set grants is invisible to
    everybody, even to administrators."""
    user = await current_user_id(client.control)
    sets = await client.query(soql("SELECT Id, Name FROM PermissionSet WHERE Name IN {names}", names=list(names)))
    assignments = await client.query(
        soql("SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = {user}", user=user)
    )
    assigned_ids = {row["PermissionSetId"] for row in assignments}
    missing = [row for row in sets if row["Id"] not in assigned_ids]
    if not missing:
        return (), ()
    records = [{"PermissionSetId": row["Id"], "AssigneeId": user} for row in missing]
    try:
        outcomes = await client.collections_create("PermissionSetAssignment", records)
    except RefusedError as error:
        return (), tuple((str(row["Name"]), str(error)) for row in missing)
    done = tuple(str(row["Name"]) for row, outcome in zip(missing, outcomes, strict=True) if outcome.success)
    failed = tuple(
        (str(row["Name"]), "; ".join(item.message for item in outcome.errors))
        for row, outcome in zip(missing, outcomes, strict=True)
        if not outcome.success
    )
    return done, failed
