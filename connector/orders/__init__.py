"""The local order lifecycle. Callers use `orders.service.OrderService`.

Stages. A step marked with a command needs that command; the others follow automatically, in the same transaction, as
soon as their guard in `model.transitions.TRANSITIONS` is met:

    placed ──verify──▶ verified ──confirm──▶ confirmed ──▶ fulfilling ──▶ shipped ──▶ delivered ──▶ completed
      ▲                  │                       │              │
      └─────change───────┘                       │              │       picked    all    all        invoiced
      │                  │                       │              │       goods   shipped  delivered  and paid
      └──────────────────┴──────── cancel ───────┴──────────────┘
                                     │
                                     ▼
                                 canceled          once nothing of the order is left

Payment is a second axis, holds are a third, and quantities by line a fourth: the stage follows from them.

One command is one transaction:

    load and lock the orders ─▶ is the request a repeat? ─▶ check and apply, in memory ─▶ move stock ─▶ write
    (in key order)               then answer and stop        (rejected: nothing is left)

    what is written together:  the state, the event in the history, reservations and stock, the invoice and its number,
                               notifications to be sent, derived orders, and the change for the org in the outbox

Invariants.

- A replay of the history gives the stored state (only `model.transitions.apply` changes a state).
- Reserved stock equals what the orders hold; nothing is reserved twice, and nothing negative.
- A request with an idempotency key is carried out at most once, also by two callers at the same time.
- Orders are locked before stock, both in key order, so that two commands wait for each other instead of deadlocking.

A crash before the commit leaves nothing of the command: the caller got no answer and repeats it. A crash after the
commit leaves all of it: the repeat is recognized by its key (or the order's number and content) and answered with the
order as it is. Between the commit and the org stands the outbox (see `store.outbox` and `outbound`), between the commit
and the customer the notifications (see `store.notifications`); both are sent by other jobs, and again after a crash.
"""
