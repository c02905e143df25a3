"""What *Audit log* is asked for: the parameters of its address, and links that change one."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from broker.console.forms import Form
from broker.console.visit import address
from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.arn import iam_arn, sts_arn
from broker.model.audit import ISSUING_KINDS, Outcome, RecordKind

AUDIT = "/console/audit"
EXPORT = "/console/audit/export"
FOLLOW_TURNS = 60
"""Reloads of a page that follows the log, ten seconds apart."""

_TEXTS = {
    "caller": "CallerArn",
    "key": "AccessKeyId",
    "action": "Action",
    "provider": "ProviderArn",
    "identity": "SourceIdentity",
    "name": "SessionName",
    "role": "RoleName",
    "event": "EventId",
    "next": "NextToken",
}
_TIMES = {"since": "StartTime", "until": "EndTime"}
_NAMES = (*_TEXTS, *_TIMES, "decision", "view", "range", "follow")
_NARROWING = (
    *("caller", "key", "action", "provider", "identity", "name", "role", "decision"),
)
_OF_STS = ("assumed-role", "federated-user")
_LISTED = (*_OF_STS, "user", "role", "saml-provider", "oidc-provider", "ldap-provider")
_LONGEST = 2048
_BAD_TIME = "Enter a time such as 2026-01-31T08:30, in UTC."

WITHOUT_READS = ""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

_COUNTED = {"1h": "24h", "": "7d"}
"""The span of the counts where the list's is too short for them, or has no end."""


class View(Struct, frozen=True):
    """Records that belong together; empty members match everything."""

    label: str
    shows: str
    kinds: tuple[RecordKind, ...] = ()
    decisions: tuple[Outcome, ...] = ()


VIEWS = {
    WITHOUT_READS: View(
        "Without reads",
        "sign-ins, issued credentials and changes, but no reads",
        kinds=(RecordKind.SIGN_IN, RecordKind.CREDENTIALS, RecordKind.CHANGE),
    ),
    "sign-ins": View(
        "Sign-ins", "sign-ins and refused attempts", kinds=(RecordKind.SIGN_IN,)
    ),
    "refused": View(
        "Refused",
        "calls that were denied or refused",
        decisions=(Outcome.DENIED, Outcome.REFUSED),
    ),
    "changes": View("Changes", "changes", kinds=(RecordKind.CHANGE,)),
    "all": View("Everything", "calls of all kinds"),
}


class Period(Struct, frozen=True):
    """A stretch of time until now; ``bucket_hours`` are those of its counts."""

    label: str
    length: timedelta
    bucket_hours: int


SPANS = {
    "1h": Period("Last hour", _HOUR, 1),
    "24h": Period("24 hours", _DAY, 1),
    "7d": Period("7 days", 7 * _DAY, 6),
    "30d": Period("30 days", 30 * _DAY, 24),
}


class AuditFilters(Struct, frozen=True):
    """The parameters; missing and unknown ones are empty."""

    values: Mapping[str, str]

    @classmethod
    def read(cls, form: Form) -> "AuditFilters":
        """Read them, within bounds."""
        values = {name: (form.find(name) or "").strip()[:_LONGEST] for name in _NAMES}
        for name, known in (
            ("view", VIEWS),
            ("range", SPANS),
            ("decision", [*Outcome]),
        ):
            if values[name] not in known:
                values[name] = ""
        turns = values["follow"]
        if not (turns.isascii() and turns.isdigit() and int(turns[:4]) > 0):
            values["follow"] = ""
        elif int(turns[:4]) > FOLLOW_TURNS:
            values["follow"] = str(FOLLOW_TURNS)
        return cls(values)

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @property
    def narrowed(self) -> bool:
        """Whether anything but the chips was chosen."""
        return any(self[name] for name in (*_NARROWING, *_TIMES))

    @property
    def sentence(self) -> str:
        """What the list shows, for its head."""
        span = self["range"]
        when = f" of the last {SPANS[span].label.removeprefix('Last ')}" if span else ""
        narrowed = " that match the filter" if self.narrowed else ""
        text = f"{VIEWS[self['view']].shows}{when}{narrowed}"
        return f"{text[0].upper()}{text[1:]}; the newest first."

    @property
    def counted(self) -> Period | None:
        """The span of the counts, which are of what the chips alone choose."""
        if self.narrowed or self["next"]:
            return None
        return SPANS[_COUNTED.get(self["range"], self["range"])]

    def link(self, path: str = AUDIT, **changes: str) -> str:
        """The address with some parameters changed; a list begins anew."""
        kept = {"next": "", "follow": "", "event": ""}
        return address(path, **{**self.values, **kept, **changes})

    def request(self, account: AccountId, now: datetime) -> dict[str, object]:
        """The parameters of ``LookupEvents``; names as listed become ARNs.

        Raises:
            ValidationError: A time is malformed.
        """
        texts = {wire: self[name] for name, wire in _TEXTS.items()}
        texts["CallerArn"] = _whole(self["caller"], account)
        texts["ProviderArn"] = _whole(_provider(self["provider"]), account)
        times = {wire: read_time(self[name]) for name, wire in _TIMES.items()}
        if self["range"] and times["StartTime"] is None:
            times["StartTime"] = now - SPANS[self["range"]].length
        view = VIEWS[self["view"]]
        # A named action is meant, also if it is a read; so is the record of an event.
        is_named = bool(self["action"] or self["event"])
        kinds = () if is_named and self["view"] == WITHOUT_READS else view.kinds
        if self["role"]:
            kinds = ISSUING_KINDS
        decisions = (self["decision"],) if self["decision"] else view.decisions
        return {**texts, **times, "Kinds": kinds, "Decisions": decisions}


def _provider(name: str) -> str:
    if not name or "/" in name:
        return name
    kind = "oidc-provider" if "." in name or ":" in name else "saml-provider"
    return f"{kind}/{name}"


def _whole(name: str, account: AccountId) -> str:
    kind, slash, _ = name.partition("/")
    if not slash or kind not in _LISTED:
        return name
    service = sts_arn if kind in _OF_STS else iam_arn
    return service(account, name)


def read_time(text: str) -> datetime | None:
    """A time as it was typed, in UTC by default; None for no text.

    Raises:
        ValidationError: It is not a time.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValidationError(_BAD_TIME) from error
