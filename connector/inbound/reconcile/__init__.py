"""Reconciliation: compare both sides record by record, without holding either in memory.

    org     rows of one object in the order of their IDs: by pages of a query, or by one bulk query (org_side)
    here    links of that object in the same order, with their entities, read page by page           (local_side)
       |
    join    by record ID: a row with its link, a link without a row, a row without a link               (reconciler)
       |
    compare field by field, as the mapping would send it, by the type of the field                   (comparison)
       |-- equal ---------------> verified
       |-- due here, or changed in the org since the run began ---> pending: on its way, no drift
       '-- otherwise -----------> read again on both sides, the org first; what still differs is a finding

A difference is called drift only if it is in both readings, nothing of the entity is due, and our latest write was
recorded before the org was read: so a change that is on its way is never drift.
"""
