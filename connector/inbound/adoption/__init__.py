"""Adoption: an order that a rep created in the org becomes an order here.

    a record of Order without a link is read   (poll or event; `record_batch` notes it in the inbox if the rule says so)
       |
    [due]    its row of the inbox
       |
    read     the order with its account, lines and products: two queries, one call for up to 200 orders      (reader)
       |
    plan     customer, products, prices, number                                                             (planner)
       |
    adopt    one transaction: the order is placed, its record and those of its lines are linked, its row     (adopter)
       |     of the inbox ends; the order is due in the outbox
       |-- excluded by the filter ------> its row of the inbox ends
       '-- account or product unknown, price missing, … -> [parked] with what to do; tried again when the record changes
       |
    push     our number and keys are written to the linked records, with one call for many orders

What a crash leaves:

- Before the commit of `adopt`: the record is due in the inbox.
- After it: the order is due in the outbox, and its link names the record. The push finds the record by its ID, never by
  its key, so it can neither create the order again nor lose it.
- Two processes that adopt the same record: the row of the inbox is locked first, and the second one finds the link.
"""
