"""`python -m tests.fuzz_api`: schemathesis asks every route of the API what its OpenAPI document allows, and what not.

A service with an order runs on a database of its own. Every answer must be described by the document: its status,
content type and body; nothing may be a server error, and what the document forbids must be refused. Exit status 1 if
anything is found. `make fuzz` installs schemathesis first.

One check is left out, that whatever the document allows is accepted: it cannot say all of our rules (which characters a
key has, that a mapping version exists, what the stage of an order allows). Such a refusal names field and rule.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from aiohttp.test_utils import TestServer

from connector.model.role import Role
from connector.store import schema, tokens
from connector.store.engine import Store
from tests.unit.store import samples
from tests.web.conftest import app_on


async def fuzz(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'connector.db'}")
        try:
            await schema.upgrade(store)
            await samples.stock(store)
            await samples.place(store, samples.order())
            async with store.transaction() as uow:
                token = await tokens.create(uow, "fuzz", Role.ADMIN)
            async with TestServer(app_on(store)) as server:
                return await _run(str(server.make_url("/openapi.json")), token, arguments)
        finally:
            await store.close()


async def _run(url: str, token: str, arguments: argparse.Namespace) -> int:
    options = {
        "-H": f"Authorization: Bearer {token}",
        "--checks": "all",
        "--exclude-checks": "positive_data_acceptance",
        "--max-examples": str(arguments.examples),
        "--seed": str(arguments.seed),
        "--phases": arguments.phases,
    }
    words = [word for option in options.items() for word in option]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", url, "--no-color", *words, *arguments.more
    )
    return await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_api", description=__doc__)
    parser.add_argument("--examples", type=int, default=50, help="cases by route and phase (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phases", default="examples,coverage,fuzzing,stateful")
    parser.add_argument("more", nargs="*", help="further options of schemathesis, after --")
    sys.exit(asyncio.run(fuzz(parser.parse_args())))


if __name__ == "__main__":
    main()
