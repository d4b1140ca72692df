"""Statements that are made of others are made once, and kept no longer than those."""

from __future__ import annotations

import gc

from sqlalchemy import Select, column, select

from connector.store.sql import Variants

NAME = column("name")


def test_variant_is_made_once_for_each_statement_and_its_parts() -> None:
    of_city = Variants(lambda statement, city: statement.where(column("city") == city))
    statement = select(NAME)
    other = select(NAME)
    assert of_city(statement, "Oslo") is of_city(statement, "Oslo")
    assert of_city(statement, "Oslo") is not of_city(statement, "Bern")
    assert of_city(statement, "Oslo") is not of_city(other, "Oslo")


def test_variant_of_a_statement_that_is_gone_is_not_kept() -> None:
    def build(statement: Select[tuple[str]]) -> Select[tuple[str]]:
        return statement.where(NAME != "")

    not_empty = Variants(build)
    for _ in range(20):
        not_empty(select(NAME))
    gc.collect()
    assert len(not_empty._made) == 0
