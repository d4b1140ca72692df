"""Mappings as versions: which one is active, how it is checked, planned, applied and rolled back.

    files of a folder, edited ──────────────┐ (if the files before the edit were the active version)
    draft ─> plan ─> apply, or roll back ───┴─> version N: active ─> version N + 1 ...

The content of every version is in the database, and the version with the highest number is active: every process works
by it, whatever files it has. A push transaction is of one version, which is asked for before a claim and before every
call, so an old and a new version never alternate. Calls in flight are recorded, and the next version starts from there.

A crash before the commit of an activation leaves the former version active; after it, every process finds the new one.
"""
