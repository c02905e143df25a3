"""The read-only page of an LDAP provider: only ``broker apply`` changes them."""

import json

from starlette.responses import Response

from broker.administration.listing import read_part
from broker.console.context import SIGN_IN
from broker.console.pages.audit_filters import AUDIT
from broker.console.visit import Visit
from broker.errors import NoSuchEntity
from broker.policy import DIRECTORY_KEYS

_GROUP_ROLES = "GroupRoles"


async def show_directory(visit: Visit, arn: str) -> Response:
    """Show a provider.

    Raises:
        AccessDenied: The user may not list LDAP providers.
        NoSuchEntity: The account has none of this ARN.
    """
    listed = (await visit.perform("broker", "ListLDAPProviders"))["LDAPProviders"]
    found = next((one for one in listed if one["Arn"] == arn), None)
    if found is None:
        raise NoSuchEntity(f"There is no provider {arn[:300]} in this account.")
    options = json.loads(found["Options"])
    group_roles = options.pop(_GROUP_ROLES, {})
    account = visit.who.session.account
    start = f"{visit.deps.public_origin}{SIGN_IN}/{account}/with/{found['ProviderId']}"
    return await visit.show(
        "admin/provider_ldap.html",
        provider=found,
        options={name: json.dumps(value) for name, value in sorted(options.items())},
        group_roles=sorted(group_roles.items()),
        start=start if options.get("SignIn") else "",
        keys=[f"{found['Name']}:{key}" for key in DIRECTORY_KEYS],
        trusted=await read_part(
            visit, "ListTrustingRoles", service="signin", ProviderArn=arn
        ),
        audit=AUDIT,
    )
