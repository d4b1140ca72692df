"""Metrics over the orders of a period: time in stages, holds, promises, returns and revenue.

A metric is a table: the first columns name the subject of a row, the last one has the measured value. An order belongs
to the period in which it was placed. The database counts orders, or streams rows where sums must be exact; orders are
never loaded.

`metric_list` has all of them.
"""
