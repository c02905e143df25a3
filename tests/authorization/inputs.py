"""An input for every operation, made from its model.

New operations get one without being named here; ``VALUES`` only holds what must be
something particular: what exists in the test's accounts, and what has a form.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from broker.actions.decisions.question import Batch, Question
from broker.actions.models import load_service_model
from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.model.roles_anywhere import CertificateProfile
from broker.model.secret import Secret
from broker.model.session import Caller, Session, SessionKind
from broker.sessions.portal import NamedRoles, OpenPortal
from broker.sessions.resolve import ResolvedSession
from tests.support.rows import of_file
from tests.support.saml_idp import metadata_xml

ACCOUNT = "111122223333"
OTHER = "444455556666"
BOUND = "777788889999"
BASE = f"arn:aws:iam::{ACCOUNT}"
UUID = "11111111-2222-4333-8444-555555555555"
TARGET_ROLE = f"{BASE}:role/app/Target"
SAML = f"{BASE}:saml-provider/Corp"
LDAP = f"{BASE}:ldap-provider/corp"
OIDC = f"{BASE}:oidc-provider/issuer.example"
POLICY = f"{BASE}:policy/Policy"
TASK_POLICY = "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"
ANCHOR = f"arn:aws:rolesanywhere:us-east-1:{ACCOUNT}:trust-anchor/{UUID}"
PROFILE = "99999999-2222-4333-8444-555555555555"
INSTANCE = "i-0123456789abcdef0"
INSTANCE_ARN = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{INSTANCE}"
TAGS = [{"Key": "team", "Value": "blue"}]
SESSION_ARN = f"arn:aws:signin:us-east-1:{ACCOUNT}:session/ASIAIOSFODNN7EXAMPLE"
_MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)
_DOCUMENT = (
    '{"Version":"2012-10-17","Statement":'
    '{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}'
)

VALUES: Mapping[str, Any] = {
    "ActionNames": ["s3:GetObject"],
    "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "Arn": f"{BASE}:user/target",
    "AssumeRolePolicyDocument": _DOCUMENT,
    "Definition": "{}",
    "EntityArn": f"{BASE}:delegation-request/example",
    "GroupName": "target",
    "InstanceArn": INSTANCE_ARN,
    "InstanceId": INSTANCE,
    "InstanceProfileArn": f"{BASE}:instance-profile/example",
    "JoinToken": f"bjt.{ACCOUNT}.example",
    "Kinds": ["role"],
    "Marker": None,
    "OpenIDConnectProviderArn": OIDC,
    "PathPrefix": "/",
    "PermissionsBoundary": POLICY,
    "Policy": _DOCUMENT,
    "PolicyArn": POLICY,
    "PolicyDocument": _DOCUMENT,
    "PolicyInputList": [_DOCUMENT],
    "PolicyName": "Policy",
    "PolicySourceArn": f"{BASE}:user/target",
    "PrincipalArn": SAML,
    "ProviderArn": SAML,
    "ResourceArn": f"arn:aws:orders:us-east-1:{ACCOUNT}:order/1",
    "Questions": Batch(
        questions=(Question(service="orders", principal=f"{BASE}:user/target"),)
    ),
    "RoleArn": TARGET_ROLE,
    "RoleName": "Target",
    "RoleSessionName": "session",
    "SAMLMetadataDocument": metadata_xml(),
    "SAMLProviderArn": SAML,
    "SerialNumber": f"{BASE}:mfa/device",
    "SignIn": OpenPortal(
        handle="",
        resolved=ResolvedSession(
            session=Session(
                access_key_id="ASIAIOSFODNN7EXAMPLE",
                account=AccountId(ACCOUNT),
                kind=SessionKind.PORTAL,
                principal_id="AIDAEXAMPLE",
                name="example",
                issued_at_ms=0,
                expires_at=0,
            ),
            secret=Secret(""),
            caller=Caller(principal=Principal.root(AccountId(ACCOUNT))),
        ),
        roles=NamedRoles((), _MADE_AT),
    ),
    "ServiceName": "orders",
    "AccessKeyIds": ["ASIAIOSFODNN7EXAMPLE"],
    "EndMarks": [{"Mark": "oidc-logout/x", "Until": 0.0}],
    "Marks": ["console-end/x"],
    "ExpiresAt": 0,
    "SigningAlgorithm": "RS256",
    "Tags": TAGS,
    "TokenId": "ASVTEXAMPLEEXAMPLE",
    "TagKeys": ["team"],
    "Url": "https://issuer.example",
    "TargetPrincipal": OTHER,
    "TemplateArn": "arn:aws:iam::aws:role-template/example",
    "TaskPolicyArn": {"arn": TASK_POLICY},
    "UserName": "target",
    "principalArn": f"{BASE}:*",
    "sessionArn": SESSION_ARN,
    "sessionArns": [SESSION_ARN],
    "maxResults": 1,
    "accountId": ACCOUNT,
    "roleName": "Target",
    "roleArn": TARGET_ROLE,
    "roleArns": [TARGET_ROLE],
    "crlId": UUID,
    "profileId": PROFILE,
    "resourceArn": ANCHOR,
    "tagKeys": ["team"],
    "tags": [{"key": "team", "value": "blue"}],
    "trustAnchorArn": ANCHOR,
    "trustAnchorId": UUID,
}

CERTIFICATE_PROFILE = CertificateProfile(
    account=AccountId(ACCOUNT),
    profile_id=PROFILE,
    region="us-east-1",
    name="machines",
    role_arns=(TARGET_ROLE,),
    managed_policy_arns=(),
    session_policy=None,
    duration_seconds=3600,
    accepts_session_name=False,
    attribute_mappings={},
    enabled=True,
    created_by="",
    created_at=_MADE_AT,
    updated_at=_MADE_AT,
)

OPTIONAL = frozenset(of_file(__file__, "OPTIONAL"))
"""Members that are sent although they need not be: they bring condition keys."""


def make_input(service: str, operation: str) -> dict[str, Any]:
    """A valid input of an operation; whatever is asked for, without a model."""
    if operation == "CreateSession":
        return {"roleArn": TARGET_ROLE, "Profile": CERTIFICATE_PROFILE}
    if service not in {"sts", "iam", "broker", "rolesanywhere"}:
        return _Anything()
    model = _model(service)
    if operation not in model["operations"]:
        return _Anything(RoleArn=VALUES["RoleArn"])
    shape = model["operations"][operation].get("input")
    if shape is None:
        return {}
    return cast("dict[str, Any]", _structure(model["shapes"], shape["shape"]))


class _Anything(dict[str, Any]):
    """The input of an action of the broker's own pages."""

    def __missing__(self, member: str) -> Any:
        return VALUES.get(member, "example")


@cache
def _model(service: str) -> Any:
    return load_service_model(cast("Any", service))


def _structure(shapes: Any, name: str) -> dict[str, Any]:
    shape = shapes[name]
    wanted = {*shape.get("required", ()), *OPTIONAL} & set(shape["members"])
    return {
        member: VALUES[member]
        if member in VALUES
        else _value(shapes, shape["members"][member]["shape"])
        for member in shape["members"]
        if member in wanted
    }


def _value(shapes: Any, name: str) -> Any:
    shape = shapes[name]
    if shape["type"] == "structure":
        return _structure(shapes, name)
    if shape["type"] == "list":
        return [_value(shapes, shape["member"]["shape"])]
    if "enum" in shape:
        return shape["enum"][0]
    simple = {"boolean": True, "map": {}, "blob": b"x"}
    number = shape.get("min", 1)
    return {**simple, "integer": number, "long": number}.get(shape["type"], "example")
