"""Conditional requests: If-Match (change only that version), If-None-Match (create only), Idempotency-Key (execute
once, however often the request is sent)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from connector.errors import CommandError
from connector.model.keys import normalize_key
from connector.web.problem import ProblemError

ANY = "*"
_LONGEST = 18
"""Digits that a version can have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """The preconditions of a PUT. `version`: the entity must have it. `must_exist`, `must_be_new`: as they say."""

    version: int | None = None
    must_exist: bool = False
    must_be_new: bool = False

    def check(self, version: int | None, what: str) -> None:
        """Raise ProblemError 412 unless `version` (None: there is no entity) meets the preconditions."""
        if self.must_be_new and version is not None:
            raise failed_precondition("If-None-Match", f"{what} exists already, at version {version}.")
        if version is None and (self.must_exist or self.version is not None):
            raise failed_precondition("If-Match", f"{what} does not exist.")
        if self.version is not None and version != self.version:
            raise failed_precondition(
                "If-Match", f"{what} has changed: it is at version {version}, not {self.version}."
            )


def condition_of(headers: Mapping[str, str]) -> Condition:
    """Return the preconditions in the headers of a PUT."""
    match, none = headers.get("If-Match"), headers.get("If-None-Match")
    if none is not None and none.strip() != ANY:
        hint = "Send `If-None-Match: *` to create only, `If-Match` with an ETag to change only that version."
        raise ProblemError(400, "header", "If-None-Match: only * is supported.", field="If-None-Match", hint=hint)
    return Condition(version=version_of(match), must_exist=match is not None, must_be_new=none is not None)


def version_of(header: str | None) -> int | None:
    """Return the version in `If-Match`, None for any; raises ProblemError 412 for a tag that is not a version."""
    if header is None or header.strip() == ANY:
        return None
    bare = header.strip().removeprefix("W/").strip('"')
    if not bare.isdecimal() or len(bare) > _LONGEST:
        raise failed_precondition("If-Match", f"{header[:80]} is not a version of this resource.")
    return int(bare)


def idempotency_key_of(headers: Mapping[str, str]) -> str | None:
    """Return the idempotency key, with or without quotation marks in the header; None if there is none."""
    header = headers.get("Idempotency-Key")
    if header is None:
        return None
    key = header.strip()
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    try:
        return normalize_key(key)
    except ValueError as error:
        raise ProblemError(
            400, "idempotency", f"Idempotency-Key: the key {error}.", field="Idempotency-Key",
            hint="Send a UUID for each request, and the same one with each repeat.",
        ) from None  # fmt: skip


def replayed_header(replayed: bool) -> dict[str, str]:
    return {"Idempotency-Replayed": "true"} if replayed else {}


def etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def check_version(current: int | None, expected: int | None, what: str) -> None:
    """Raise CommandError unless the entity has the version in the body, if the body has one."""
    if expected is not None and expected != current:
        where = "does not exist" if current is None else f"has changed: it is at version {current}"
        raise CommandError(
            f"{what} {where}, not {expected}." if current else f"{what} {where}.",
            hint="Read it again, and repeat the request if it still applies.",
            field="version",
            rule="version",
        )


def failed_precondition(header: str, detail: str) -> ProblemError:
    hint = "Read it again, and repeat the request if it still applies."
    return ProblemError(412, "version", detail, field=header, hint=hint)


@contextmanager
def checked_version(if_match: str | None) -> Iterator[None]:
    """In this block, another version than that of `If-Match` fails the precondition; without the header: a conflict."""
    try:
        yield
    except CommandError as error:
        if error.rule != "version" or not if_match:
            raise
        raise ProblemError(412, "version", error.message, field="If-Match", hint=error.hint) from None
