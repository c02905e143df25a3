"""The options of a provider whose directory provisions people by SCIM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from broker.model.provisioned import ProvisionedUser

SUBJECTS = ("userName", "externalId", "emails")
GROUP_NAMES = ("displayName", "externalId", "asserted")
UNKNOWN = ("refuse", "allow")
OPTIONS = ("ScimSubject", "ScimClaim", "ScimGroups", "ScimUnknown")

_VALUE_MAX = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ScimOptions:
    """The options of a provider whose directory provisions people.

    ``ScimSubject`` switches it on: the attribute of a SCIM user that equals what a
    proof says of its person, ``userName``, ``externalId`` or ``emails`` (the address
    that counts). ``ScimClaim`` is the claim or SAML attribute that says it; without it
    that is ``sub`` or the NameID. ``ScimGroups`` says where the groups for
    ``GroupRoles`` come from: the directory, by their ``displayName`` or
    ``externalId``, or still the proof (``asserted``). ``ScimUnknown`` says what becomes
    of people whom the directory does not know: ``refuse`` or ``allow``.
    """

    subject: str
    claim: str = ""
    groups: str = GROUP_NAMES[0]
    allows_unknown: bool = False

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> Self | None:
        """Read the options; None where SCIM is switched off.

        Raises:
            ValueError: one of them is malformed; the message names it.
        """
        subject = _one_of(options, "ScimSubject", SUBJECTS, "")
        claim = options.get("ScimClaim", "")
        if not isinstance(claim, str) or len(claim) > _VALUE_MAX:
            raise ValueError("ScimClaim must be the name of a claim or attribute")
        groups = _one_of(options, "ScimGroups", GROUP_NAMES, GROUP_NAMES[0])
        unknown = _one_of(options, "ScimUnknown", UNKNOWN, UNKNOWN[0])
        if not subject:
            set_ones = [name for name in OPTIONS if name in options]
            if set_ones:
                raise ValueError(
                    f"{set_ones[0]} says nothing without ScimSubject: write one of"
                    f" {', '.join(SUBJECTS)}"
                )
            return None
        return cls(
            subject=subject,
            claim=claim,
            groups=groups,
            allows_unknown=unknown == "allow",
        )

    @property
    def gives_groups(self) -> bool:
        """Whether the directory's groups replace those of the proof."""
        return self.groups != "asserted"

    def subject_of(self, user: ProvisionedUser) -> str:
        """The user's attribute that proofs are compared with."""
        return {
            "userName": user.user_name,
            "externalId": user.external_id,
            "emails": user.email,
        }[self.subject]


def value_of(options: ScimOptions | None, subject: str, said: object) -> str:
    """What a proof says of its person; empty when it says nothing definite.

    ``said`` is the claim or attribute that the options name, as the proof has it.
    """
    if options is None:
        return ""
    if not options.claim:
        return subject if len(subject) <= _VALUE_MAX else ""
    values = said if isinstance(said, list | tuple) else [said]
    (value,) = values if len(values) == 1 else ("",)
    return value if isinstance(value, str) and len(value) <= _VALUE_MAX else ""


def _one_of(
    options: Mapping[str, object], name: str, allowed: Sequence[str], default: str
) -> str:
    value = options.get(name, default)
    if value != default and value not in allowed:
        raise ValueError(f"{name} is {value!r:.80}; write one of {', '.join(allowed)}")
    return str(value)
