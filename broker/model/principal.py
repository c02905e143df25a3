"""Who acts: the principal as policies see it."""

from enum import StrEnum
from typing import Self

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.arn import iam_arn, sts_arn

EC2 = "ec2.amazonaws.com"
"""The service principal that takes up roles for machines."""


class PrincipalType(StrEnum):
    """The values of ``aws:PrincipalType``, and the unsigned callers.

    Source: IAM User Guide, reference_policies_variables; recorded answers (REC-S
    saml_userid_aws).
    """

    ACCOUNT = "Account"
    USER = "User"
    ASSUMED_ROLE = "AssumedRole"
    FEDERATED_USER = "FederatedUser"
    SAML = "SAML"
    WEB_IDENTITY = "WebIdentity"
    LDAP = "LDAP"
    SERVICE = "Service"
    ANONYMOUS = "Anonymous"

    @property
    def is_federated(self) -> bool:
        """Whether a provider authenticates such a caller, who signs nothing."""
        return self in _FEDERATED


_FEDERATED = frozenset(
    {PrincipalType.SAML, PrincipalType.WEB_IDENTITY, PrincipalType.LDAP}
)


class Principal(Struct, frozen=True, kw_only=True):
    """One acting principal.

    ``arn`` is the caller's ARN (the session's for a session). ``principal_arn`` is
    ``aws:PrincipalArn``: the role's ARN with its path for a role session, empty when
    the key is absent. ``userid`` is ``aws:userid``. ``unique_id`` is the entity's own
    id (``AIDA…``, ``AROA…``, the account's number for root), empty for callers that
    have none. ``federated`` is the provider's ARN (or built-in issuer's name) of an
    unsigned caller, and ``service`` a service principal's name. ``issuer`` is who made
    a federation token: what is denied to them is denied to it.
    """

    type: PrincipalType
    account: AccountId
    arn: str
    principal_arn: str
    userid: str
    unique_id: str
    username: str | None = None
    session_name: str | None = None
    federated: str | None = None
    service: str | None = None
    issuer: "Principal | None" = None

    @classmethod
    def root(cls, account: AccountId) -> Self:
        """The account's root user."""
        arn = iam_arn(account, "root")
        return cls(
            type=PrincipalType.ACCOUNT,
            account=account,
            arn=arn,
            principal_arn=arn,
            userid=account,
            unique_id=account,
        )

    @classmethod
    def user(cls, account: AccountId, *, user_id: str, path: str, name: str) -> Self:
        """An IAM user; ``path`` begins and ends with a slash."""
        arn = iam_arn(account, f"user{path}{name}")
        return cls(
            type=PrincipalType.USER,
            account=account,
            arn=arn,
            principal_arn=arn,
            userid=user_id,
            unique_id=user_id,
            username=name,
        )

    @classmethod
    def role_session(
        cls,
        account: AccountId,
        *,
        role_id: str,
        path: str,
        role_name: str,
        session_name: str,
    ) -> Self:
        """A session of a role; the session's ARN has no path."""
        return cls(
            type=PrincipalType.ASSUMED_ROLE,
            account=account,
            arn=sts_arn(account, f"assumed-role/{role_name}/{session_name}"),
            principal_arn=iam_arn(account, f"role{path}{role_name}"),
            userid=f"{role_id}:{session_name}",
            unique_id=role_id,
            session_name=session_name,
        )

    @classmethod
    def federated_user(
        cls, account: AccountId, *, name: str, issuer: "Principal | None"
    ) -> Self:
        """The bearer of ``GetFederationToken`` credentials that ``issuer`` made."""
        arn = sts_arn(account, f"federated-user/{name}")
        return cls(
            type=PrincipalType.FEDERATED_USER,
            account=account,
            arn=arn,
            principal_arn=arn,
            userid=f"{account}:{name}",
            unique_id="",
            session_name=name,
            issuer=issuer,
        )

    @classmethod
    def registered_service(
        cls, account: AccountId, *, arn: str, name: str, token_id: str
    ) -> Self:
        """A registered service that asks with one of its tokens."""
        return cls(
            type=PrincipalType.SERVICE,
            account=account,
            arn=arn,
            principal_arn="",
            userid=token_id,
            unique_id="",
            service=name,
        )

    @classmethod
    def aws_service(
        cls, account: AccountId, *, service: str, arn: str, name: str
    ) -> Self:
        """A service such as ``ec2.amazonaws.com``, acting for a machine of ``account``.

        ``arn`` is the machine's, and ``name`` what its proof calls it.
        """
        return cls(
            type=PrincipalType.SERVICE,
            account=account,
            arn=arn,
            principal_arn="",
            userid=arn,
            unique_id="",
            username=name,
            service=service,
        )

    @classmethod
    def from_provider(
        cls, type_: PrincipalType, account: AccountId, *, provider: str, subject: str
    ) -> Self:
        """An unsigned caller, proved by a provider of ``account``.

        ``aws:userid`` is the provider's ARN and ``aws:PrincipalArn`` is absent.
        Source: IAM User Guide, reference_policies_variables.
        """
        return cls(
            type=type_,
            account=account,
            arn=provider,
            principal_arn="",
            userid=provider,
            unique_id="",
            username=subject,
            federated=provider,
        )
