"""What can go wrong with a subscription, by what has to be done about it.

The server names its errors in the trailer `error-code`; the gRPC status alone says too little (Pub/Sub API
documentation, "Handle Errors").
"""

from __future__ import annotations

import grpc

from connector.errors import RetryClass, SalesforceError
from connector.model.storable_text import storable

ERROR_CODE = "error-code"


class SubscriptionError(SalesforceError):
    """The stream ended, or could not be opened; it may be opened again where it stood."""


class ReplayIdInvalidError(SubscriptionError):
    """The position is no longer known to the org: it is older than the 72 hours that events are kept, or from another
    instance. What was missed must be read by a poll."""


class SessionExpiredError(SubscriptionError):
    """The access token is no longer valid: sign in again."""


class DeliveryLimitError(SubscriptionError):
    """The org's daily allowance of event deliveries is used up: poll until it is back."""


class TopicUnavailableError(SubscriptionError):
    """The topic does not exist, or our user may not subscribe to it. Somebody must change the org."""


_CLASSES: tuple[tuple[str, type[SubscriptionError], RetryClass, str], ...] = (
    ("replayid", ReplayIdInvalidError, RetryClass.DATA, "Nothing to do: the gap is read by a poll."),
    ("service.auth", SessionExpiredError, RetryClass.AUTH, "Nothing to do: it signs in again."),
    (
        "subscription.limit.exceeded",
        DeliveryLimitError,
        RetryClass.LIMIT,
        "Nothing to do: changes are polled until the allowance is back. An add-on raises it.",
    ),
    (
        "topic.not.found",
        TopicUnavailableError,
        RetryClass.CONFIG,
        "`connector org deploy` puts our channel there; our user needs View All on its objects.",
    ),
    (
        "topic.meta.permission",
        TopicUnavailableError,
        RetryClass.CONFIG,
        "Give our user View All on the objects of the channel.",
    ),
    (
        "cannot.subscribe",
        TopicUnavailableError,
        RetryClass.CONFIG,
        "Give our user View All on the objects of the channel.",
    ),
)


def error_for_rpc(error: grpc.aio.AioRpcError, topic: str) -> SubscriptionError:
    """The error of a failed call, by its `error-code` trailer, else by its status."""
    trailers = error.trailing_metadata() or ()
    code = next((str(value) for key, value in trailers if key == ERROR_CODE), "")
    message = f"{topic}: {storable(error.details() or error.code().name)}"
    for fragment, kind, retry_class, hint in _CLASSES:
        if fragment in code:
            return kind(message, hint=hint, retry_class=retry_class)
    if not code and error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return SessionExpiredError(message, hint=_CLASSES[1][3], retry_class=RetryClass.AUTH)
    return SubscriptionError(
        f"{message} ({error.code().name})",
        hint="Nothing to do: it is opened again automatically.",
        retry_class=RetryClass.TRANSIENT,
    )
