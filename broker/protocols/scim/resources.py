"""The stored users and groups, as SCIM resources.

Only what the broker has a use for: who a person is at their provider, what they are
called, whether they are active. Other attributes, such as telephone numbers and
addresses, are accepted but not kept, and so are passwords.
"""

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints
from scim2_models import (
    URN,
    CaseExact,
    ComplexAttribute,
    Mutability,
    Reference,
    Required,
    Resource,
    Returned,
    ScimPolicy,
    Uniqueness,
)

BAD_REQUEST, NOT_FOUND, CONFLICT, CHANGED = 400, 404, 409, 412

TEXT_MAX = 1024
EMAILS_MAX = 20

POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""What Entra and Okta send beyond the specification's letter."""

_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


class ScimRejected(Exception):
    """A request that SCIM or its bounds do not allow.

    ``scim_type`` is the keyword of RFC 7644, 3.12, empty where there is none.
    """

    def __init__(
        self, detail: str, scim_type: str = "", *, status: int = BAD_REQUEST
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.scim_type = scim_type
        self.status = status


def is_text(value: str) -> bool:
    """Whether databases can keep it: no NUL, no half of a surrogate pair."""
    return _NOT_TEXT.search(value) is None


def _require_text(value: str) -> str:
    if not is_text(value):
        raise ValueError("NUL is not allowed")
    return value


_Text = Annotated[str, AfterValidator(_require_text)]
Short = Annotated[_Text, StringConstraints(max_length=TEXT_MAX)]
Named = Annotated[_Text, StringConstraints(min_length=1, max_length=TEXT_MAX)]


class PersonName(ComplexAttribute):
    """The parts of a person's name."""

    formatted: Short | None = None
    family_name: Short | None = None
    given_name: Short | None = None


class Email(ComplexAttribute):
    """An address; it is compared, never written to, so its form is not checked."""

    value: Short | None = None
    display: Short | None = None
    type: Short | None = Field(None, examples=["work", "home", "other"])
    primary: bool | None = None


class GroupOfUser(ComplexAttribute):
    """A group that a person is in."""

    value: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    ref: Annotated[Reference["Group"] | None, Mutability.read_only] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    display: Annotated[str | None, Mutability.read_only] = None


class User(Resource[Any]):
    """A person of a directory."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    external_id: Annotated[
        Short | None, Mutability.read_write, Returned.default, CaseExact.true
    ] = None
    user_name: Annotated[Named | None, Uniqueness.server, Required.true] = None
    name: PersonName | None = None
    Name: ClassVar[type[ComplexAttribute]] = PersonName
    display_name: Short | None = None
    title: Short | None = None
    active: bool | None = None
    emails: Annotated[list[Email] | None, Field(max_length=EMAILS_MAX)] = None
    Emails: ClassVar[type[ComplexAttribute]] = Email
    groups: Annotated[list[GroupOfUser] | None, Mutability.read_only] = None
    Groups: ClassVar[type[ComplexAttribute]] = GroupOfUser

    @property
    def address(self) -> str:
        """The address that is compared: the primary one, else the first for work."""
        emails = self.emails or []
        ranked = sorted(
            emails, key=lambda email: (not email.primary, email.type != "work")
        )
        return next((email.value for email in ranked if email.value), "")

    @property
    def label(self) -> str:
        """What the person is called."""
        name = self.name or PersonName()
        whole = " ".join(filter(None, (name.given_name, name.family_name)))
        return self.display_name or name.formatted or whole or self.user_name or ""


class Member(ComplexAttribute):
    """A person in a group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )


class Group(Resource[Any]):
    """A group of a directory."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    external_id: Annotated[
        Short | None, Mutability.read_write, Returned.default, CaseExact.true
    ] = None
    display_name: Annotated[Named | None, Uniqueness.server, Required.true] = None
    members: list[Member] | None = None
    Members: ClassVar[type[ComplexAttribute]] = Member
