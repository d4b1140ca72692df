"""login() and getUserInfo(). Elements come in WSDL order, because clients read them by position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.localorg.soap.envelope import nil, tag

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.users import Identity

FIRST_VERSION_WITHOUT_LOGIN = 65  # the first version that no longer has login()


def render_user_info(org: Org, user: Identity, name: str) -> str:
    info: dict[str, Any] = {
        "accessibilityMode": False,
        "chatterExternal": False,
        "currencySymbol": "$",
        "orgAttachmentFileSizeLimit": 5242880,
        "orgDefaultCurrencyIsoCode": org.settings.currency,
        "orgDefaultCurrencyLocale": "en_US",
        "orgDisallowHtmlAttachments": False,
        "orgHasPersonAccounts": org.settings.person_accounts,
        "organizationId": user.organization_id,
        "organizationMultiCurrency": org.settings.multi_currency,
        "organizationName": "Local Org",
        "profileId": user.profile_id,
        "roleId": None,
        "sessionSecondsValid": org.settings.token_seconds,
        "userDefaultCurrencyIsoCode": org.settings.currency,
        "userEmail": user.email,
        "userFullName": user.full_name,
        "userId": user.user_id,
        "userLanguage": "en_US",
        "userLocale": "en_US",
        "userName": user.username,
        "userTimeZone": "UTC",
        "userType": "Standard",
        "userUiSkin": "Theme3",
    }
    elements = "".join(nil(key) if value is None else tag(key, value) for key, value in info.items())
    return f"<{name}>{elements}</{name}>"


def render_login(org: Org, user: Identity, url: str, kind: str, version: str) -> str:
    """Render the response to a successful login."""
    short = user.organization_id[:15]
    return (
        f"<loginResponse><result><metadataServerUrl>{url}/services/Soap/m/{version}/{short}</metadataServerUrl>"
        "<passwordExpired>false</passwordExpired><sandbox>false</sandbox>"
        f"<serverUrl>{url}/services/Soap/{kind}/{version}/{short}</serverUrl>"
        f"<sessionId>{org.auth.issue(user_id=user.user_id)}</sessionId><userId>{user.user_id}</userId>"
        f"{render_user_info(org, user, 'userInfo')}"
        "</result></loginResponse>"
    )
