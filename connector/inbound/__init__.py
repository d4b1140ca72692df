"""Inbound sync: apply here what changed in the org.

    event   the record that it names is put into the inbox, together with the replay ID   (listen, record_events)
    poll    records changed since the watermark are read, and applied at once              (poll)
       |
       v
    [due]  a row of the inbox: one record; heard of again, its version rises
       |
    fetch   read the records from the org, up to 200 with one call                         (intake)
       |
    merge   three-way against the snapshot of the link, field by field, by owner                 (merge)
       |
    apply   one transaction: change here, link, conflicts, journal, cursor                 (apply, record_batch)
       |-- equal to the snapshot -----> nothing to do: an echo of our own write
       |-- taken from the org --------> a command on the order, or the customer or product saved
       |-- ours stands ---------------> the entity is due in the outbox; the push restores the field
       |-- both changed, owner `ask` -> a conflict; neither side's value goes to the other until a person decides
       |-- a line changed or added ---> a change of the order, or ours stands                          (line_changes)
       |-- an order without a link ---> adopted, if the rule says so                                       (adoption)
       |-- deleted or merged there ---> by the policy for deletions                                         (deletions)
       |-- forbidden by the order ----> as "ours stands", with the reason in the journal
       |-- a write of ours in flight -> [due] again, in a moment
       '-- unreadable value ----------> [parked]: a person sees it; everything else goes on

What somebody asks of an order by a platform event goes another way: a command on the order, the note that the event
was handled, the answer, and the replay ID are one transaction (action_events, order_actions).

Invariants:

- A cursor moves in the transaction that stores what was read up to it (the record applied, or its row in the inbox).
- What is applied was read after our latest write to that record: the link says when that was (`synced_at`), and a
  record that was read before, or whose write has no recorded answer yet, is read again.
- After a merge the snapshot holds what the org has, except for a field in conflict. So what we restore is sent because
  it differs, and what we took is not sent because it does not.
- One process polls an object at a time, and one listens to a topic; the lease is checked in the same transaction.

What a crash leaves:

- Between reading and the commit of `apply`: nothing is stored; the same records are read again from the cursor.
- After the commit: nothing is left to do. What is read again within the overlap is an echo.
- Between an event's transaction and its apply: the record is due in the inbox.
- Frozen past its lease: LeaseLostError in the transaction that would move the cursor.
"""
