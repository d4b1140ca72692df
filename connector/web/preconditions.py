"""What a caller makes a request depend on: If-Match (a change only of what was seen), If-None-Match (a creation only of
what is not there), Idempotency-Key (done once, however often it is sent)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.errors import CommandError
from connector.model.keys import normalize_key
from connector.web.problem import ProblemError

ANY = "*"
_LONGEST = 18
"""Digits of a version."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """`match` is the version that must be there, `new` says that nothing may be, `known` that something must be."""

    match: int | None = None
    known: bool = False
    new: bool = False

    def check(self, version: int | None, what: str) -> None:
        """ProblemError 412 unless `version` (None: it is not there) is as the caller thinks."""
        if self.new and version is not None:
            raise failed_precondition("If-None-Match", f"{what} is there already, at version {version}.")
        if version is None and (self.known or self.match is not None):
            raise failed_precondition("If-Match", f"{what} is not there.")
        if self.match is not None and version != self.match:
            raise failed_precondition(
                "If-Match", f"{what} has changed meanwhile: it is at version {version}, not {self.match}."
            )


def condition_of(headers: Mapping[str, str]) -> Condition:
    """What the headers of a PUT ask for."""
    match, none = headers.get("If-Match"), headers.get("If-None-Match")
    if none is not None and none.strip() != ANY:
        hint = "Send `If-None-Match: *` to create only, `If-Match` with an ETag to change only that version."
        raise ProblemError(400, "header", "Only * is understood there.", field="If-None-Match", hint=hint)
    return Condition(match=version_of(match), known=match is not None, new=none is not None)


def version_of(header: str | None) -> int | None:
    """The version that `If-Match` names; None for any. One that is no version of ours cannot match (412)."""
    if header is None or header.strip() == ANY:
        return None
    bare = header.strip().removeprefix("W/").strip('"')
    if not bare.isdecimal() or len(bare) > _LONGEST:
        raise failed_precondition("If-Match", f"{header[:80]} is no version of ours.")
    return int(bare)


def request_of(headers: Mapping[str, str]) -> str | None:
    """The caller's own name for the request, with quotation marks or without."""
    header = headers.get("Idempotency-Key")
    if header is None:
        return None
    key = header.strip()
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    try:
        return normalize_key(key)
    except ValueError as error:
        raise ProblemError(
            400, "idempotency", f"The key {error}.", field="Idempotency-Key",
            hint="Send a UUID for each request, and the same one with each repeat.",
        ) from None  # fmt: skip


def was_replayed(again: bool) -> dict[str, str]:
    return {"Idempotency-Replayed": "true"} if again else {}


def etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}


def same_version(known: int | None, asked: int | None, what: str) -> None:
    """CommandError unless what is there has the version that a body names."""
    if asked is not None and asked != known:
        where = "is not there" if known is None else f"has changed meanwhile: it is at version {known}"
        raise CommandError(
            f"{what} {where}, not {asked}." if known else f"{what} {where}.",
            hint="Look at it again, and repeat what still makes sense.",
            field="version",
            rule="version",
        )


def failed_precondition(header: str, detail: str) -> ProblemError:
    hint = "Look at it again, and repeat what still makes sense."
    return ProblemError(412, "version", detail, field=header, hint=hint)
