"""The org's pages in a browser: records for sales reps, API usage and call log for developers. They are read-only.

Everything is rendered here, without scripts. Every read is bounded, so a page costs the same in an org with a million
rows.
"""
