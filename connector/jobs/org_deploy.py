"""Deploys our fields, events and permission set, and gives the permission set to the connector's own user.

The members of our channel leave out the changes of that user: they are our own writes, and would come back as events
that count against the org's delivery allowance. The user's ID differs by org, so the source has a word in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from connector.clock import Clock
from connector.errors import RefusedError
from connector.salesforce.client import SalesforceClient
from connector.salesforce.metadata import DeployResult, Package, build_package, deploy
from connector.salesforce.query import soql

USER_ID_WORD = "CONNECTOR_USER_ID"
"""Stands in the source for the ID of the connector's user."""


@dataclass(frozen=True, kw_only=True)
class DeploySummary:
    """The result of a deployment. `filtered_user`: the ID of the user whose changes our channel does not deliver, if
    the package has a channel. `assigned`: permission sets that the connector's user was given. `unassigned`: those that
    it still lacks, with the reason."""

    package: Package
    deployed: DeployResult
    check_only: bool
    filtered_user: str | None = None
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
    user_id = (await client.tokens.token()).user_id
    package = build_package(root, version=version, replacements={USER_ID_WORD: user_id})
    deployed = await deploy(client.control, package, clock=clock, check_only=check_only, on_progress=on_progress)
    filtered_user = user_id if "PlatformEventChannelMember" in package.members else None
    summary = DeploySummary(package=package, deployed=deployed, check_only=check_only, filtered_user=filtered_user)
    names = package.members.get("PermissionSet", ())
    if check_only or not assign or not deployed.succeeded or not names:
        return summary
    assigned, unassigned = await _assign_permission_sets(client, names, user_id)
    return replace(summary, assigned=assigned, unassigned=unassigned)


async def _assign_permission_sets(
    client: SalesforceClient, names: tuple[str, ...], user: str
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Assign these permission sets to the connector's user. A field that no permission set grants is invisible to
    everybody, even to administrators."""
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
