"""Watches the writes that a local org is asked for: by which process, of which accounts, and in which sequence.

Two writes of one account that the org works on at the same time overlap. A write of an order that carries an older
state than one before it is an inversion.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson
import psutil
from aiohttp import web

from connector.localorg.server import LocalOrg

_ORDER = re.compile(r"SO-\d{6}")
_ACCOUNT = re.compile(r"\bC-\d+\b")
_ID = re.compile(r"\b(?:801|802|001)Lo[0-9A-Za-z]{13}\b")
_STATE = re.compile(r"State (\d+)")
_TABLES = {"801": "Order", "802": "OrderItem", "001": "Account"}


@dataclass(kw_only=True)
class CallWatch:
    """What was asked of one org. `customers`: the customer of each order. `calls` and `orders` of each process."""

    org: LocalOrg
    customers: dict[str, str]
    calls: Counter[int] = field(default_factory=Counter)
    orders: Counter[int] = field(default_factory=Counter)
    arrived: dict[tuple[str, int], float] = field(default_factory=dict)
    """When the write of a state of an order was answered."""
    problems: list[str] = field(default_factory=list)
    _keys: dict[str, str] = field(default_factory=dict)
    _processes: dict[str, int] = field(default_factory=dict)
    _in_flight: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _states: dict[str, int] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def begin(self) -> None:
        """Watch from now on. Called before the org starts."""
        handle = self.org.app._handle_data_call

        async def watched(request: web.Request, segments: list[str], params: Any) -> web.StreamResponse:
            if request.method not in {"POST", "PATCH"} or segments[3:4] != ["composite"]:
                return await handle(request, segments, params)
            body = await request.read()
            text = f"{request.path} {body.decode()}"
            number, accounts = next(self._numbers), self._accounts(text)
            if not accounts:
                return await handle(request, segments, params)
            pid = self._process(request)
            self.calls[pid] += 1
            states = self._note_states(pid, orjson.loads(body))
            for account in accounts:
                if self._in_flight[account]:
                    self.problems.append(f"Two writes of account {account} overlap: {request.path}.")
                self._in_flight[account].add(number)
            try:
                return await handle(request, segments, params)
            finally:
                self.arrived.update(dict.fromkeys(states, time.monotonic()))
                for account in accounts:
                    self._in_flight[account].discard(number)

        self.org.app._handle_data_call = watched  # type: ignore[method-assign]

    def reset(self) -> None:
        """Count anew."""
        self.calls.clear()
        self.orders.clear()

    def _accounts(self, text: str) -> set[str]:
        keys = {*_ORDER.findall(text), *_ACCOUNT.findall(text)}
        keys |= {key for record in set(_ID.findall(text)) if (key := self._key(record))}
        return {self.customers.get(key, key) for key in keys}

    def _key(self, record: str) -> str:
        """Our key of a record: of a line, that of its order."""
        if record not in self._keys:
            table = _TABLES[record[:3]]
            key = self.org.org.dml.scalar(f'SELECT "External_Key__c" FROM "{table}" WHERE "Id" = ?', record)
            found = _ORDER.match(str(key or ""))
            self._keys[record] = found[0] if found else str(key or "")
        return self._keys[record]

    def _note_states(self, pid: int, body: Any) -> list[tuple[str, int]]:
        """The descriptions of orders say `State 3`; a later write must not say less. Returns the states."""
        states = []
        for number, text in self._descriptions(body):
            self.orders[pid] += 1
            state = int(found[1]) if (found := _STATE.search(text)) else 0
            if state < self._states.get(number, 0):
                self.problems.append(f"Order {number} went back from state {self._states[number]} to {state}.")
            self._states[number] = state
            states.append((number, state))
        return states

    def _descriptions(self, body: Any) -> Iterable[tuple[str, str]]:
        for record in body.get("records", ()):
            if "Description" in record and "id" in record:
                yield self._key(record["id"]), str(record["Description"])
        for graph in body.get("graphs", ()):
            for request in graph["compositeRequest"]:
                if "/Order/" in request["url"] and "Description" in request.get("body", {}):
                    yield request["url"].rpartition("/")[2], str(request["body"]["Description"])

    def _process(self, request: web.Request) -> int:
        """The process of the session. Each one signs in by itself."""
        session = request.headers.get("Authorization", "")
        if session not in self._processes:
            assert request.transport is not None
            port = request.transport.get_extra_info("peername")[1]
            for connection in psutil.net_connections("tcp"):
                if connection.laddr and connection.laddr.port == port and connection.pid:
                    self._processes[session] = connection.pid
        return self._processes.get(session, 0)
