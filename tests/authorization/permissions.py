"""The tables of ``docs/permissions.md``, from the committed authorization table.

``python -m tests.authorization.table`` writes them with it.
"""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
_OWN = ("broker", "signin", "sso", "sso-oauth", "scim")
_NEED = re.compile(r"^([\w-]+:\w+): (?:([\w-]+:\w+) on (\S+).*|none)$", re.MULTILINE)
_BLOCK = re.compile(r"<!-- table: (\w+) -->.*?<!-- end -->", re.DOTALL)
_PARTS = {
    "111122223333": "ACCOUNT",
    "us-east-1": "REGION",
    "service/orders": "service/NAME",
    "service/s3": "service/NAME",
    "order/1": "…",
    ":orders:": ":SERVICE:",
    "i-0123456789abcdef0": "ID",
    "ASVTEXAMPLEEXAMPLE": "ID",
    "instance-profile/example": "instance-profile/NAME",
    "saml-provider/Corp": "saml-provider/NAME",
    "role/app/Target": "role/NAME",
}
"""The made-up resources of the table, and what they are for readers."""


def fill(page: str, table: str) -> str:
    """The page with the tables as ``table``, the authorization table's text, has them."""
    needed: dict[tuple[str, str], set[str]] = {}
    free = []
    for operation, permission, resource in _NEED.findall(table):
        if permission.partition(":")[0] in _OWN:
            needed.setdefault((permission, _for_readers(resource)), set()).add(
                operation
            )
        elif not permission and operation.partition(":")[0] in _OWN:
            free.append(operation)
    permissions = ["| Permission | Resource | Also needed for |", "|---|---|---|"]
    for (permission, resource), operations in sorted(needed.items()):
        others = ", ".join(f"`{name}`" for name in sorted(operations - {permission}))
        permissions.append(f"| `{permission}` | `{resource}` | {others} |")
    tables = {
        "permissions": "\n".join(permissions),
        "free": ", ".join(f"`{name}`" for name in sorted(free)) + ".",
    }
    return _BLOCK.sub(
        lambda match: (
            f"<!-- table: {match[1]} -->\n\n{tables[match[1]]}\n\n<!-- end -->"
        ),
        page,
    )


def _for_readers(resource: str) -> str:
    for name, instead in _PARTS.items():
        resource = resource.replace(name, instead)
    return resource
