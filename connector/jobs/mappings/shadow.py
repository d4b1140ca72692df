"""Shadow mode: a version that is computed for real traffic beside the active one, and writes nothing.

start ─> every push maps what it claims by both versions, and adds what differs ─> apply, or discard
"""

from __future__ import annotations

from connector.errors import MappingError
from connector.log import get_logger
from connector.mapping import MappingSet
from connector.mapping.version import load_texts
from connector.outbound.mapping_shadow import ShadowMappings
from connector.outbound.mapping_version import ActiveMappingVersion
from connector.settings.inbound import ChangedLines
from connector.store import mapping_shadows
from connector.store import mapping_versions as versions
from connector.store.engine import Store

log = get_logger("mappings")


async def attach_shadow(
    store: Store, version: ActiveMappingVersion | None, active: MappingSet, policy: ChangedLines
) -> None:
    """Have the push that works by this version also map by the shadow, if there is one."""
    if version is None:
        return
    async with store.reader() as connection:
        shadow = await mapping_shadows.get_open(connection)
        texts = None if shadow is None else await versions.get_texts(connection, shadow.digest)
    if shadow is None or texts is None:
        return
    try:
        mappings = load_texts(texts).mappings
    except MappingError as error:
        log.warning("shadow cannot be computed", problems=list(error.problems))
        return
    fitted = mappings.with_returns(None).with_edited_lines(policy).with_persons(active.persons_enabled)
    version.shadow = ShadowMappings(shadow.id, active, fitted)


async def store_shadow(store: Store, version: ActiveMappingVersion | None) -> None:
    """Store what the push has computed by the shadow."""
    if version is None or version.shadow is None or not version.shadow.computed:
        return
    shadow, version.shadow = version.shadow, None
    async with store.transaction() as uow:
        await mapping_shadows.add(
            uow,
            shadow.shadow_id,
            computed=shadow.computed,
            differing=shadow.differing,
            fields=shadow.take_fields(),
        )
