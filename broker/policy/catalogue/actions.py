"""Questions about actions: which there are, what a pattern covers, what is unknown.

And about condition keys: which ones nothing here can have a value for.
"""

import re
from collections.abc import Iterable, Mapping

from broker.policy import PolicyDocument, find_context_key
from broker.policy.catalogue.data import (
    ActionEntry,
    ServiceEntry,
    find_service,
    service_prefixes,
)
from broker.policy.catalogue.managed_names import is_managed_name
from broker.policy.referenced_keys import missing_keys
from broker.policy.wildcard import compile_wildcard, tokenize
from broker.runtime.bounded import remembered

_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")


_BROKER = "broker"
"""The prefix of the actions for what AWS does not have; they are not listed here."""


_OWN = {"sts": ("assumerolewithldapidentity",)}
"""The broker's own actions of services of AWS's."""


def find_action(action: str) -> ActionEntry | None:
    """The action ``service:name``, whatever its case; None when it is not known."""
    prefix, _, name = action.lower().partition(":")
    service = find_service(prefix)
    return None if service is None else service.actions.get(name)


def expand_action(pattern: str) -> tuple[ActionEntry, ...]:
    """The known actions that a policy's ``Action`` covers, in the catalogue's order.

    ``*`` is everything, 20,000 actions.
    """
    prefix, colon, name = pattern.lower().partition(":")
    if not colon:
        return _all_actions() if prefix and not prefix.strip("*") else ()
    if "*" in prefix or "?" in prefix:
        matches = compile_wildcard(tokenize(prefix))
        prefixes = tuple(filter(matches, service_prefixes()))
    else:
        prefixes = (prefix,)
    covers = compile_wildcard(tokenize(name))
    entries: list[ActionEntry] = []
    for text in prefixes:
        service = find_service(text)
        if service is not None:
            entries += [e for lowered, e in service.actions.items() if covers(lowered)]
    return tuple(entries)


def unknown_actions(
    document: PolicyDocument, own: Mapping[str, ServiceEntry] | None = None
) -> tuple[str, ...]:
    """One warning for each ``Action`` or ``NotAction`` that covers no known action.

    ``own`` are services beside AWS's, by prefix. Only a warning, because an
    installation may have more of them.
    """
    return tuple(
        f"{statement.place}: {written} {what}"
        for statement in document.statements
        for written in statement.actions
        if (what := find_doubt(written, own or {})) is not None
    )


def unknown_names(
    document: PolicyDocument, own: Mapping[str, ServiceEntry] | None = None
) -> tuple[str, ...]:
    """`unknown_actions` and `unknown_keys`."""
    return (*unknown_actions(document, own), *unknown_keys(document, own))


def unknown_keys(
    document: PolicyDocument, own: Mapping[str, ServiceEntry] | None = None
) -> tuple[str, ...]:
    """One warning for each condition key that nothing here has a value for.

    A condition on such a key does not hold, so that a Deny with it denies nothing.
    ``own`` as for `unknown_actions`.
    """
    keys = {
        f"{statement.place}: {key} {what}"
        for statement in document.statements
        for key in missing_keys(statement, {}, variables=document.has_variables)
        if (what := find_key_doubt(key, own or {})) is not None
    }
    return tuple(sorted(keys))


def find_key_doubt(
    key: str, own: Mapping[str, ServiceEntry], *, managed: bool = True
) -> str | None:
    """What to say of a condition key that nothing here brings; None if something may.

    The claims of an identity provider are not known here. Keys of AWS's own policies
    count unless ``managed`` is false.
    """
    prefix, colon, _ = key.lower().rpartition(":")
    if not colon or "." in prefix or ":" in prefix or find_context_key(key):
        return None
    of_own = [_has_key(service_entry, key) for service_entry in own.values()]
    if any(of_own):
        return None
    if prefix in own:
        return (
            f"is not a condition key that {prefix} declares: it has a value only if"
            " the service sends one"
        )
    service = None if prefix == "aws" else find_service(prefix)
    if service is not None and _has_key(service, key):
        return None  # of a service of AWS's that is not here
    if managed and is_managed_name(key):
        return None
    return "is a condition key that no request here has"


def _has_key(service: ServiceEntry, key: str) -> bool:
    """Whether it is among a service's keys; ``/*``, ``/${…}`` and ``/<key>`` are any."""
    lower = key.lower()
    before, slash, _ = lower.partition("/")
    any_of = tuple(f"{before}/{begin}" for begin in "*$<")
    for listed in service.condition_keys:
        name = listed.lower()
        if name == lower or (slash and name.startswith(any_of)):
            return True
    return False


def find_resource_template(action: str, resources: Iterable[str]) -> str | None:
    """The ARN template of the action's resource type that the ARNs belong to.

    None when the action is unknown, or none of its types fits all of them.
    """
    entry = find_action(action)
    if entry is None:
        return None
    arns = tuple(resources)
    for template in _by_detail(entry):
        pattern = _arn_pattern(template)
        if all(pattern.fullmatch(resource) for resource in arns):
            return template
    return None


def _by_detail(entry: ActionEntry) -> list[str]:
    """The templates, most specific first: an object's before a bucket's."""
    arns = [kind.arn for kind in entry.resource_types]
    return sorted(arns, key=lambda arn: -len(_PLACEHOLDER.sub("", arn)))


@remembered()
def _arn_pattern(template: str) -> re.Pattern[str]:
    """A template as an expression; only its last placeholder may hold a slash."""
    parts = _PLACEHOLDER.split(template)
    inside = [re.escape(part) for part in parts]
    if len(inside) == 1:
        return re.compile(inside[0])
    return re.compile("[^:/]*".join(inside[:-1]) + ".*" + inside[-1], re.DOTALL)


def find_doubt(
    written: str, own: Mapping[str, ServiceEntry], *, managed: bool = True
) -> str | None:
    """What to say of an ``Action`` that covers no known action; None if it covers one.

    ``own`` as for `unknown_actions`. What AWS's own policies have counts unless
    ``managed`` is false.
    """
    prefix, colon, name = written.lower().partition(":")
    if not colon or "*" in prefix or "?" in prefix or prefix == _BROKER:
        return None
    if managed and is_managed_name(written):
        return None
    service = own.get(prefix) or find_service(prefix)
    if service is None:
        return "is an action of a service that AWS does not have"
    covers = compile_wildcard(tokenize(name))
    if any(map(covers, service.actions)) or (
        prefix in _OWN and any(map(covers, _OWN[prefix]))
    ):
        return None
    if "*" in name or "?" in name:
        return f"covers no action of {service.name}"
    return f"is not an action of {service.name}"


@remembered()
def _all_actions() -> tuple[ActionEntry, ...]:
    entries: list[ActionEntry] = []
    for prefix in service_prefixes():
        service = find_service(prefix)
        if service is not None:
            entries += service.actions.values()
    return tuple(entries)
