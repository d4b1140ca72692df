"""The org as people see it in a browser: records for sales reps, usage and calls for developers. It only reads.

Everything is rendered here, without a script; every read is bounded, so that a page costs the same in an org of a
million rows.
"""
