"""A sales rep to try things as: a user who is not the administrator, so that a client can tell their changes from its
own."""

from __future__ import annotations

from connector.localorg.org import Org
from connector.localorg.seed import user_defaults

USERNAME = "rep@local-org.example"
TOKEN_SECONDS = 86_400
_USER = {"Username": USERNAME, "FirstName": "Sales", "LastName": "Rep", "Alias": "rep", "Email": USERNAME}


def issue_rep_token(org: Org) -> str:
    """Return an access token of the rep for a day. The user is created if the org does not have it yet. Raises
    ValueError if the org refuses it, or if the user is inactive."""
    if org.auth.users.by_name(USERNAME) is None:
        plan = org.dml.find_plan("User")
        assert plan is not None
        [outcome] = org.dml.insert(plan, [user_defaults(org.dml) | _USER])
        if outcome.error:
            raise ValueError(str(outcome.error))
    rep = org.auth.users.by_name(USERNAME)
    assert rep is not None
    return org.auth.issue(user_id=rep.user_id, seconds=TOKEN_SECONDS)
