"""Outbound sync: send captured changes of customers, products, orders and returns to the org, and record the outcome.

The outbox has one row per entity with unsent changes. A change goes through these steps; row states are in brackets:

    capture     in the transaction that changes the entity
       |
       v
    [due] <----------------------------------------------------------- replay, by a person --.
       |                                                                                      |
    claim       read the due rows of leased partitions; nothing is stored                     |
       |                                                                                      |
    plan        compare with the snapshots of the links --- refused by our checks ----> [dead, blocked]
       |              '--- nothing differs ---> row deleted                                   ^
       v                                                                                      |
    begin_send  mark unconfirmed and count the send; commit before the call                   |
       |                                                                                      |
       v                                                                                      |
    [due, unconfirmed]  if claimed again: read back what the org has, then plan               |
       |                                                                                      |
    write       one API call for many entities                                                |
       |                                                                                      |
    record      one transaction: links, journal, and for each entity one of                   |
       |-- done -----------------> row deleted, unless a newer version was captured           |
       |-- refused ---------------------------------------------------------------------------'
       |-- fault that may pass --> [due] later, with a growing delay
       '-- fault of the org -----> [due] as before; the push stops

Invariants:

- A change is captured in the transaction of the local write, so neither exists without the other.
- `begin_send` commits before the call goes out. A row that is confirmed has no call with an unknown outcome, also
  that of an account which travels with or ahead of an order.
- A partition belongs to one worker at a time. `begin_send` and `record` check the leases inside their transaction, and
  each attempt of a call checks them before it is sent, so a worker that lost its lease stores nothing.
- Every outcome names the version that was claimed. What was captured meanwhile stays due.
- A repeated send creates no second record: records are upserted by external ID, and price book entries, which have
  none, are queried before they are created.

What a crash leaves, and who cleans it up:

- Before `begin_send`: nothing was stored. The lease of the partition expires, and the next worker claims the row.
- Between `begin_send` and the commit of `record`: the row is due and unconfirmed. The next worker reads back what the
  org has (`unconfirmed_sends`), stores it as the link, and sends only what still differs.
- After the commit of `record`: nothing is left to do.
- Frozen past its lease instead of killed: the worker gets LeaseLostError. `record` then makes due again, as
  unconfirmed, whatever it has sent, because another worker may have written in between.
- A change that ends the process each time it is sent: after three sends without a recorded answer (`unanswered_sends`)
  it travels in a batch without others, each time a quarter as large, after a pause of up to 15 seconds.
"""
