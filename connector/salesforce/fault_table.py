"""The table of faults: the meaning, scope and fix of each errorCode, HTTP status and kind of missing response.

The codes are the enums of Salesforce's WSDLs; statuses and usual messages come from the REST API Developer Guide.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from connector.errors import RetryClass, Scope

TRANSIENT, ROW_LOCK, LIMIT = RetryClass.TRANSIENT, RetryClass.ROW_LOCK, RetryClass.LIMIT
AUTH, DATA, CONFIG = RetryClass.AUTH, RetryClass.DATA, RetryClass.CONFIG
RECORD, DOUBT, ORG = Scope.RECORD, Scope.DOUBT, Scope.ORG


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A classified error.

    `sentence` says what happened and `fix` what to do, both for operators. `soon`: the same call can succeed within
    seconds. `outcome_known` is False if the org may have done the work. `follower`: the row itself was valid, but was
    rolled back with another one. `follows`: the change waits for another one that will be sent, as long as that takes.
    `detail` is the org's own message, which may repeat values: it is for a person, not for a log.
    """

    code: str
    retry_class: RetryClass
    sentence: str
    fix: str
    soon: bool = False
    outcome_known: bool = True
    follower: bool = False
    follows: bool = False
    scope: Scope = RECORD
    detail: str = ""

    @property
    def counted(self) -> bool:
        """Whether repeated failures count against the record, so that it is given up in the end."""
        own = self.outcome_known and not self.follows and self.scope is RECORD
        return own and self.retry_class is not RetryClass.LIMIT


class NoResponse(StrEnum):
    """The ways in which no usable response arrives."""

    NOT_CONNECTED = "NOT_CONNECTED"
    TIMED_OUT = "TIMED_OUT"
    CONNECTION_LOST = "CONNECTION_LOST"
    UNREADABLE = "UNREADABLE_ANSWER"
    WEB_PAGE = "WEB_PAGE_ANSWER"
    REDIRECTED = "REDIRECTED"
    NOT_TRUSTED = "CERTIFICATE_NOT_TRUSTED"


_WAIT = "Nothing to do: it is tried again automatically."
_ADMIN_STATUS = "If it lasts, look at the org's state on status.salesforce.com."


def _soon(
    sentence: str, fix: str = _WAIT, *, cls: RetryClass = TRANSIENT, certain: bool = True, scope: Scope = RECORD
) -> Fault:
    return Fault(code="", retry_class=cls, sentence=sentence, fix=fix, soon=True, outcome_known=certain, scope=scope)


def _later(cls: RetryClass, sentence: str, fix: str, *, scope: Scope = RECORD) -> Fault:
    return Fault(code="", retry_class=cls, sentence=sentence, fix=fix, scope=scope)


def _data(sentence: str, fix: str) -> Fault:
    return Fault(code="", retry_class=DATA, sentence=sentence, fix=fix)


def _config(sentence: str, fix: str, *, scope: Scope = DOUBT) -> Fault:
    """Nothing is wrong with the record: somebody must change a setting, a permission or the mapping."""
    return Fault(code="", retry_class=CONFIG, sentence=sentence, fix=fix, scope=scope)


def _closed(sentence: str, fix: str) -> Fault:
    """The org accepts no login or call of this user: somebody must change the org or the settings."""
    return _config(sentence, fix, scope=ORG)


def _follows(sentence: str) -> Fault:
    fix = "Correct the record named as the cause. This one is sent again in any case."
    return Fault(code="", retry_class=TRANSIENT, sentence=sentence, fix=fix, follower=True)


# Keys with a slash are variants of a code, told apart by the message (`_VARIANTS`).
TABLE: dict[str, Fault] = {
    # --- sign-in and access
    "INVALID_SESSION_ID": _later(
        AUTH,
        "The org no longer accepts our session.",
        "It is renewed automatically; if not, check the integration user.",
        scope=ORG,
    ),
    "INVALID_AUTH_HEADER": _later(
        AUTH,
        "The org did not understand our sign-in.",
        "Check CONNECTOR_SALESFORCE__AUTH and the app's OAuth settings.",
        scope=ORG,
    ),
    "API_DISABLED_FOR_ORG": _config(
        "The API is switched off for this org or user.",
        "Give the integration user the permission 'API Enabled'.",
        scope=ORG,
    ),
    "API_CURRENTLY_DISABLED": _later(
        TRANSIENT, "The org has switched its API off for the moment.", _ADMIN_STATUS, scope=ORG
    ),
    "INSUFFICIENT_ACCESS": _config(
        "The integration user may not do this.", "Assign it the connector's permission set, then replay."
    ),
    "INSUFFICIENT_ACCESS_OR_READONLY": _config(
        "The integration user may not change this record, or it is read-only.",
        "Check the permission set (object access, Edit Activated Orders) and the record's sharing, then replay.",
    ),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _config(
        "The integration user may not use a record this one refers to.",
        "Share that record (often the account) with the integration user, then replay.",
    ),
    "CANNOT_MODIFY_MANAGED_OBJECT": _config("The field or object belongs to a package.", "Map another field."),
    "TXN_SECURITY_END_SESSION": _config(
        "A transaction security policy of the org stopped the call.",
        "Except the integration user from the policy.",
        scope=ORG,
    ),
    "URL_NOT_RESET": _closed(
        "The org has moved, and this address no longer leads to it.",
        "Set CONNECTOR_SALESFORCE__LOGIN_URL to the org's present My Domain address.",
    ),
    "ORG_LOCKED": _closed("The org is locked.", "Ask Salesforce, or the org's admin, to unlock it."),
    "TRIAL_EXPIRED": _closed("The org's trial has ended.", "Ask the org's owner to renew it."),
    "PASSWORD_LOCKOUT": _closed("The integration user is locked out.", "Unlock it in Setup, Users."),
    "INSUFFICIENT_SCOPE": _closed("The session may not use the API.", "Give the app the OAuth scope `api`."),
    # --- limits
    "REQUEST_LIMIT_EXCEEDED": _later(
        LIMIT,
        "The org's API requests of the last 24 hours are used up.",
        "Wait until the window moves on, or have the org's API limit raised; nothing is lost meanwhile.",
        scope=ORG,
    ),
    "REQUEST_LIMIT_EXCEEDED/concurrent": _soon(
        "The org is working on too many long calls at once.", cls=LIMIT, scope=ORG
    ),
    "LIMIT_EXCEEDED": _later(
        LIMIT,
        "An hourly allowance of the org is used up (often event publishing).",
        "Wait, or have it raised.",
        scope=ORG,
    ),
    "STORAGE_LIMIT_EXCEEDED": _config(
        "The org has no storage left.", "Free or buy data storage in the org, then replay.", scope=ORG
    ),
    "TOO_MANY_APEX_REQUESTS": _soon("The org is running too much Apex code at once.", cls=LIMIT, scope=ORG),
    "EXCEEDED_ID_LIMIT": _data("The range asked for holds too many records.", "Ask for a narrower range."),
    "APEX_ERROR": _data(
        "The org's own Apex code failed on this record.", "Show the message to the org's developer, then replay."
    ),
    "OPERATION_TOO_LARGE": _data("The call asks for too much at once.", "Narrow the filter, or split the job."),
    # --- the org is busy, in maintenance or broken
    "SERVER_UNAVAILABLE": _soon("The org is overloaded or in maintenance.", _ADMIN_STATUS, scope=ORG),
    "INTERNAL_ERROR": _soon("The org failed; it may have saved the record.", _ADMIN_STATUS, certain=False),
    "UNKNOWN_EXCEPTION": _soon("The org failed; it may have saved the record.", _ADMIN_STATUS, certain=False),
    "FUNCTIONALITY_TEMPORARILY_UNAVAILABLE": _soon("The org has paused this function.", _ADMIN_STATUS, scope=ORG),
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": _later(
        TRANSIENT, "The org is read-only during maintenance.", _ADMIN_STATUS, scope=ORG
    ),
    "PLATFORM_EVENT_PUBLISHING_UNAVAILABLE": _soon("The org cannot take events at the moment.", scope=ORG),
    "PLATFORM_EVENT_PUBLISH_FAILED": _soon("The org could not publish the event."),
    "UNABLE_TO_LOCK_ROW": _soon(
        "Somebody else was changing this record or its account.",
        f"{_WAIT} If it recurs, look for parallel jobs.",
        cls=ROW_LOCK,
    ),
    # --- taken back with a sibling
    "PROCESSING_HALTED": _follows("The record was rolled back because another one of the same call was refused."),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": _follows("The record was rolled back because a sibling was refused."),
    "BATCH_PROCESSING_HALTED": _follows("The record was not tried because an earlier one was refused."),
    # --- values
    "REQUIRED_FIELD_MISSING": _data(
        "A field the org requires is empty.", "Fill it in the order, or map it (a constant will do), then replay."
    ),
    "STRING_TOO_LONG": _data(
        "A text is longer than its field.", "Shorten it, or add `transform: cut80` (or cut255), then replay."
    ),
    "NUMBER_OUTSIDE_VALID_RANGE": _data("A number does not fit its field.", "Correct it in the order, then replay."),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": _data(
        "The value is not in the field's list.", "Add it to the picklist, or map it in the value table, then replay."
    ),
    "INVALID_TYPE_ON_FIELD_IN_RECORD": _data(
        "A value has the wrong type for its field.", "Correct the mapping line (see its transform), then replay."
    ),
    "JSON_PARSER_ERROR": _data(
        "A value has the wrong form for its field (often a date).", "Correct the mapping line's transform, then replay."
    ),
    "INVALID_EMAIL_ADDRESS": _data("The e-mail address is not valid.", "Correct it in the customer, then replay."),
    "INVALID_CURRENCY_ISO": _data(
        "The org does not have this currency.", "Activate it in the org's currency settings, then replay."
    ),
    "TOO_MANY_ENUM_VALUE": _data("Too many values for the list field.", "Map fewer values, then replay."),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": _data(
        "A validation rule of the org refused the record; the message is the rule's own.",
        "Correct what it asks for, or have the rule except the integration user, then replay.",
    ),
    "FIELD_FILTER_VALIDATION_EXCEPTION": _data(
        "The value is outside the field's lookup filter.", "Choose a record the filter allows, then replay."
    ),
    "FIELD_INTEGRITY_EXCEPTION": _data(
        "The value contradicts another field or the org's rules.", "Correct what the message names, then replay."
    ),
    "FIELD_INTEGRITY_EXCEPTION/price book": _data(
        "The order has no price book, or a line's price is from another one.",
        "Map Pricebook2Id on the order to the price book of its lines, then replay.",
    ),
    "FIELD_INTEGRITY_EXCEPTION/inactive": _data(
        "A price book entry or product of the order is inactive.", "Activate it in the org, then replay."
    ),
    "STANDARD_PRICE_NOT_DEFINED": _data(
        "The product has no standard price in this currency yet.",
        "Give the product a list price in this currency, then replay.",
    ),
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _data(
        "A trigger of the org refused the record.", "Show the message to the org's developer, then replay."
    ),
    "CANNOT_EXECUTE_FLOW_TRIGGER": _data(
        "A flow of the org failed on the record.", "Show the message to the org's admin, then replay."
    ),
    "INVALID_CROSS_REFERENCE_KEY": _data(
        "The record refers to one that does not exist or is of another kind.",
        "Check that its account, product and price book are still in the org, then resync it.",
    ),
    "MALFORMED_ID": _data("A reference is not a valid record ID.", "Correct the mapping line, then replay."),
    "INACTIVE_OWNER_OR_USER": _data("The owner is an inactive user.", "Map an active owner, then replay."),
    "MIXED_DML_OPERATION": _config("Setup and business records were written together.", "Map them in two entities."),
    "DUPLICATE_VALUE": _data(
        "Another record already has this value in a unique field.",
        "Open the record the message names and merge the two, or correct the value, then replay.",
    ),
    "DUPLICATE_VALUE/key": _soon("Another call created the record in the same moment; a repeat will find it."),
    "DUPLICATE_VALUE/price": _soon("The price book entry exists already; a repeat will find it."),
    "DUPLICATE_EXTERNAL_ID": _data(
        "Several records of the org have the same key.", "Make the key field unique, merge the records, then replay."
    ),
    "DUPLICATES_DETECTED": _data(
        "A duplicate rule of the org found a record like this one.",
        "Merge the two, or have the rule except the integration user, then replay.",
    ),
    # --- order and record life
    "FAILED_ACTIVATION": _data(
        "The org would not activate the order: it needs a line, and must have been created as a draft.",
        "See that the order has a line with a price and that the user may 'Activate Orders', then replay.",
    ),
    "ENTITY_IS_LOCKED": _data(
        "The record is locked: by an approval, or because the order is activated.",
        "Finish the approval, or set the order back to Draft, then replay.",
    ),
    "FIELD_INTEGRITY_EXCEPTION/activated": _data(
        "An activated order cannot be changed like this.", "Set the order back to Draft, then replay."
    ),
    "STATE_TRANSITION_NOT_ALLOWED": _data("The org does not allow this step of status.", "Correct the status values."),
    "INVALID_STATUS": _data("The org does not know this status.", "Correct the status values in the value table."),
    "DELETE_FAILED": _data("The org will not delete the record.", "Remove what depends on it, or deactivate it."),
    "DEPENDENCY_EXISTS": _data("Other records depend on this one.", "Remove them first."),
    "DELETE_REQUIRED_ON_CASCADE": _data("Deleting needs the right to delete dependents too.", "Grant it, then replay."),
    "ENTITY_IS_DELETED": _data(
        "The record was deleted in the org.", "Undelete it there, or resync it with --recreate."
    ),
    "NOT_FOUND": _data(
        "The org does not have this record, object or key field, or we may not see it.",
        "Check the permission set; if all is well there, `connector resync` the record.",
    ),
    "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE": _later(
        TRANSIENT, "The record changed in the org meanwhile.", "It is read again and merged automatically."
    ),
    # --- shape: fields, objects, queries
    "INVALID_FIELD": _config(
        "The org does not have this field, or the integration user may not see it.",
        "Run `connector org deploy`, or correct the mapping, then replay.",
    ),
    "INVALID_FIELD/lookup": _data(
        "The record refers by key to one the org does not have.",
        "`connector resync` the customer or product first, then replay.",
    ),
    "INVALID_FIELD_FOR_INSERT_UPDATE": _config(
        "The field cannot be written, or the integration user may not.",
        "Take it out of the mapping, or grant edit access to it, then replay.",
    ),
    "FIELD_NOT_UPDATABLE": _config("The field cannot be changed after creation.", "Take it out of the mapping."),
    "INVALID_TYPE": _config(
        "The org does not have this object, or we may not see it.",
        "Switch it on in the org (Order Settings), then retry.",
    ),
    "INVALID_TYPE_FOR_OPERATION": _config("The object does not allow this operation.", "Correct the mapping."),
    "FUNCTIONALITY_NOT_ENABLED": _config("The org has not switched this feature on.", "Switch it on in Setup."),
    "MALFORMED_QUERY": _config("The org did not understand our query.", "Check the filter; if it is ours, report it."),
    "INVALID_QUERY_FILTER_OPERATOR": _config(
        "A query compares a field in a way it does not allow.", "Check the filter."
    ),
    "QUERY_TOO_COMPLICATED": _config("The query is too complicated for the org.", "Map fewer formula fields."),
    "QUERY_TIMEOUT": _later(TRANSIENT, "The query ran too long.", "Narrow it, or have the key field indexed."),
    "INVALID_QUERY_LOCATOR": _later(TRANSIENT, "The query's cursor has expired.", "The read restarts automatically."),
    "INVALID_REPLICATION_DATE": _data("The time range is not one the org keeps.", "Ask for the last 30 days at most."),
    "METHOD_NOT_ALLOWED": _config("The org does not allow this call here.", "Check CONNECTOR_SALESFORCE__API_VERSION."),
    "UNSUPPORTED_MEDIA_TYPE": _config("The org refused the form of our call.", "Report it with the call's log line."),
    "UNSUPPORTED_API_VERSION": _config(
        "The org no longer has this API version.", "Raise CONNECTOR_SALESFORCE__API_VERSION.", scope=ORG
    ),
    # --- no answer
    NoResponse.NOT_CONNECTED: _soon(
        "The org could not be reached.", "Check the network and CONNECTOR_SALESFORCE__LOGIN_URL.", scope=ORG
    ),
    NoResponse.NOT_TRUSTED: _closed(
        "The org's certificate is not trusted here.", "Name the authority's file in SSL_CERT_FILE."
    ),
    NoResponse.REDIRECTED: _closed(
        "The org answered with another address, which we do not follow.",
        "Set CONNECTOR_SALESFORCE__LOGIN_URL to the org's present My Domain address.",
    ),
    NoResponse.WEB_PAGE: replace(
        _later(
            TRANSIENT,
            "A web page came instead of an answer: the org is in maintenance, or something between us and it speaks.",
            f"{_ADMIN_STATUS} Otherwise check CONNECTOR_SALESFORCE__LOGIN_URL and the proxy.",
            scope=ORG,
        ),
        outcome_known=False,
    ),
    NoResponse.TIMED_OUT: _soon(
        "The org did not answer in time; it may have saved the record.", certain=False, scope=DOUBT
    ),
    NoResponse.CONNECTION_LOST: _soon(
        "The answer was lost on its way; the org may have saved.", certain=False, scope=DOUBT
    ),
    NoResponse.UNREADABLE: _soon("The answer could not be read; the org may have saved.", certain=False, scope=DOUBT),
}

STATUSES: dict[int, Fault] = {
    300: TABLE["DUPLICATE_EXTERNAL_ID"],
    401: TABLE["INVALID_SESSION_ID"],
    403: _closed(
        "The org, or something before it, does not let us in.",
        "Check that the integration user has 'API Enabled', its IP ranges, and the org's security policies.",
    ),
    404: _config(
        "There is no such address in the org.",
        "Check CONNECTOR_SALESFORCE__LOGIN_URL and CONNECTOR_SALESFORCE__API_VERSION.",
    ),
    408: TABLE[NoResponse.TIMED_OUT],
    410: TABLE["UNSUPPORTED_API_VERSION"],
    413: _data(
        "The call was too large for the org, or for something before it.", "Make the record smaller, then replay."
    ),
    414: _data("The address of the call was too long.", "Report it with the call's log line."),
    420: _soon("The org's edge could not pass the call on.", scope=ORG),
    429: _soon("Something between us and the org asks us to slow down.", cls=LIMIT, scope=ORG),
    431: _data("The address and headers of the call were too long.", "Report it with the call's log line."),
    501: _config("The org does not offer this call.", "Check CONNECTOR_SALESFORCE__API_VERSION."),
}
REDIRECT = TABLE[NoResponse.REDIRECTED]
UNKNOWN_5XX = _soon("The org, or something before it, failed; it may have saved the record.", certain=False, scope=ORG)
UNKNOWN_4XX = Fault(
    code="",
    retry_class=RetryClass.UNKNOWN,
    sentence="The org refused it for a reason we do not know.",
    fix="Read its message, correct it, then replay.",
    scope=DOUBT,
)
OF_THE_RECORD = replace(UNKNOWN_4XX, retry_class=DATA, sentence="The org refused the record.", scope=RECORD)

RECORD_CODES = frozenset({
    "ALREADY_IN_PROCESS", "ALREADY_APPROVED", "ASSIGNEE_TYPE_REQUIRED", "CANNOT_CASCADE_PRODUCT_ACTIVE",
    "CANNOT_DELETE_LAST_DATED_CONVERSION_RATE", "CANNOT_DELETE_OWNER", "CANNOT_DISABLE_ALL_OWNED", "CANNOT_RENAME",
    "CANNOT_REPARENT_RECORD", "CANNOT_RESOLVE_NAME", "CANNOT_UPDATE_CONVERTED_LEAD", "CIRCULAR_DEPENDENCY",
    "CLONE_NOT_SUPPORTED", "CUSTOM_CURRENCY_NOT_FOUND", "CANT_UNDELETE", "DUPLICATE_COMM_NICKNAME",
    "DUPLICATE_USERNAME", "FIELD_INTEGRITY_EXCEPTION", "FIELD_MAY_NOT_BE_USED", "IMMUTABLE_FIELD", "INVALID_ARGUMENT",
    "INVALID_CURRENCY_CONVERSION_RATE", "INVALID_CURRENCY_CORP_RATE", "INVALID_ID_FIELD", "INVALID_INPUT",
    "INVALID_LINEITEM_CLONE", "INVALID_MARKUP", "INVALID_OPERATION", "INVALID_OPERATOR", "INVALID_OWNER",
    "INVALID_PARAMETER", "INVALID_PRODUCT", "INVALID_QUANTITY", "LIST_PRICE_NOT_FOUND", "MANAGER_NOT_DEFINED",
    "MAX_ACTIONS_PER_RULE_EXCEEDED", "MISSING_ARGUMENT", "NUMBER_OUTSIDE_VALID_RANGE", "NUM_HISTORY_FIELDS_EXCEEDED",
    "PRODUCT_INACTIVE", "RECORD_IN_USE_BY_WORKFLOW", "REQUIRED_FEATURE_MISSING", "SELF_REFERENCE_FROM_FLOW",
    "SELF_REFERENCE_FROM_TRIGGER", "SHARE_NEEDED_FOR_CHILD_OWNER", "TEXT_DATA_OUTSIDE_SUPPORTED_RANGE",
    "TOO_LONG", "UNSPECIFIED_EMAIL_ADDRESS", "VALUE_OUT_OF_RANGE", "VALIDATION_FAILED",
})  # fmt: skip
"""More codes that tell of a value or a record; the rest of what can be said of them is in their message."""

SIZE = frozenset({413, 414, 431})
"""Statuses of a whole call that was too large: a smaller one may pass."""

CONTENTS = frozenset({300, 400, 409, 412, 422}) | SIZE
"""Statuses of a whole call that can come of what is in it."""

OF_FIELDS = frozenset({"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "FIELD_NOT_UPDATABLE"})
"""Codes that are about a field: nothing but a row that was accepted with it shows that it can be written."""
