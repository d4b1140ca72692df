"""Random schedules of edits, faults and crashes on both sides, each repeatable by its seed.

schedule    what happens in which order, drawn from the seed
side        the two sides as people use them: a clerk edits here, a rep in the org; every edit goes into the ledger
extras      what happens besides edits: a creation, and deletions
process     one connector process on the database: it can crash at any step, or freeze and wake too late
stream      the events of the org, in the order and number that the seed says
listeners   three real processes that listen, of which the holder is killed or frozen
cell        real processes of the service, which send orders to one or two orgs
workers     kills and freezes some of them, and restarts the database; takeover: measures until others do their work
neighbor    measures what an outage of one org does to the other
schedulers  three real services on a fast clock, of which some are killed: each slot of each job is run once
ledger      who wrote what and which value the writer saw: decides which values may stand in the end
"""
