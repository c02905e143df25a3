"""Audit records as events of CloudTrail, for programs that read those.

A record knows less than AWS's log: no response, and of a session its caller's ARN and
unique id only. What is not known is left out.

Source: CloudTrail User Guide, "CloudTrail record contents" and "userIdentity element".
"""

import json
from datetime import datetime

from broker.model.audit import CONSOLE_LOGIN, AuditRecord, RecordKind
from broker.model.session import SessionKind

_VERSION = "1.11"
_PARTS = 6
_SERVICES = {"sso-oauth": "sso"}
"""What a service is called in an event's source, where that is not its prefix."""

_PROVIDERS = {
    "saml-provider": "SAMLUser",
    "oidc-provider": "WebIdentityUser",
    "ldap-provider": "LDAPUser",
}


def event_name(record: AuditRecord) -> str:
    """The action without its service."""
    return record.action.partition(":")[2]


def event_source(record: AuditRecord) -> str:
    """The service as a host name."""
    service = record.action.partition(":")[0]
    return f"{_SERVICES.get(service, service)}.amazonaws.com"


def is_read_only(record: AuditRecord) -> bool:
    """Whether the call changed and handed out nothing."""
    return record.kind is RecordKind.READ


def user_name(record: AuditRecord) -> str:
    """Whom AWS would name: the user, or the session; empty if there is neither."""
    return record.caller_arn.rpartition("/")[2]


def trail_event(record: AuditRecord) -> str:
    """The event as JSON text, the member ``CloudTrailEvent`` of an answer."""
    event: dict[str, object] = {
        "eventVersion": _VERSION,
        "userIdentity": _user_identity(record),
        "eventTime": _iso(record.at),
        "eventSource": event_source(record),
        "eventName": event_name(record),
        "awsRegion": record.region,
        "sourceIPAddress": record.source_ip,
        "userAgent": record.user_agent,
        "requestParameters": dict(record.parameters) or None,
        "responseElements": _response(record),
        "requestID": record.event_id,
        "eventID": record.event_id,
        "readOnly": is_read_only(record),
        "resources": [{"ARN": arn} for arn in record.resources],
        "eventType": (
            "AwsConsoleSignIn" if record.action == CONSOLE_LOGIN else "AwsApiCall"
        ),
        "managementEvent": True,
        "recipientAccountId": record.account,
        "eventCategory": "Management",
    }
    if record.error_code:
        event["errorCode"] = record.error_code
        event["errorMessage"] = record.detail
    return json.dumps(event, separators=(",", ":"))


def _user_identity(record: AuditRecord) -> dict[str, object]:
    parts = record.caller_arn.split(":", _PARTS - 1)
    if len(parts) != _PARTS:
        return {"type": "Unknown"}
    account, resource = parts[4], parts[5]
    kind, _, name = resource.partition("/")
    identity: dict[str, object] = {
        "principalId": record.principal_id,
        "arn": record.caller_arn,
        "accountId": account,
        "accessKeyId": record.access_key_id,
    }
    if kind in _PROVIDERS:
        return {
            "type": _PROVIDERS[kind],
            "principalId": record.principal_id,
            "identityProvider": record.caller_arn,
        }
    match kind:
        case "root":
            return {"type": "Root", **identity}
        case "user":
            return {"type": "IAMUser", **identity, "userName": user_name(record)}
        case "assumed-role":
            issuer = {
                "type": "Role",
                "principalId": record.principal_id.partition(":")[0],
                "accountId": account,
                "userName": name.partition("/")[0],
            }
            context: dict[str, object] = {"sessionIssuer": issuer}
            if record.source_identity:
                context["sourceIdentity"] = record.source_identity
            return {"type": "AssumedRole", **identity, "sessionContext": context}
        case _:
            return {"type": "FederatedUser", **identity}


def _response(record: AuditRecord) -> dict[str, object] | None:
    """What is known of credentials that were handed out."""
    session = record.session
    if session is None or session.get("kind") == SessionKind.PORTAL.value:
        return None
    if record.error_code:
        return None  # an upstream's, which the caller did not get
    return {
        "credentials": {
            "accessKeyId": session["access_key_id"],
            "expiration": session["expires_at"],
        },
        "assumedRoleUser": {"arn": session.get("principal_arn")},
    }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
