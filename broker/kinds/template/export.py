"""Writes the template that describes an account."""

import json
from collections.abc import AsyncIterator

from broker.kinds.control_policies import ControlKind, control_policies
from broker.kinds.template.account_settings import shown_settings
from broker.kinds.template.kind import without_empty
from broker.kinds.template.kinds import KINDS
from broker.kinds.template.yaml_text import dump_yaml
from broker.model.account import Account
from broker.stores.directory.port import DirectoryReader

_PAGE = 1000
"""Entities of one part of the text."""

_Part = tuple[str, object]
"""The name of a member of the account, and its value or some of its items."""


async def export_account(
    directory: DirectoryReader, account: Account
) -> AsyncIterator[str]:
    """The account's template, without any secret; applying it changes nothing.

    It comes in parts, for accounts with very many entities.
    """
    before = ""
    async for name, value in _parts(directory, account):
        text = dump_yaml({"Accounts": {account.account_id: {name: value}}})
        # The lines that are there already: of the file, the account and the member.
        there = 0 if not before else 3 if name == before else 2
        yield text.split("\n", there)[there]
        before = name
    if not before:
        yield dump_yaml({"Accounts": {account.account_id: {}}})


async def _parts(directory: DirectoryReader, account: Account) -> AsyncIterator[_Part]:
    if account.alias is not None:
        yield "Alias", account.alias
    if account.password_policy is not None:
        yield "PasswordPolicy", dict(account.password_policy)
    for kind in KINDS:
        async for specs in kind.distinct(directory, account.account_id):
            for start in range(0, len(specs), _PAGE):
                some = specs[start : start + _PAGE]
                yield kind.section, [without_empty(kind.show(spec)) for spec in some]
    broker: dict[str, object] = {}
    if account.quotas:
        broker["Quotas"] = dict(sorted(account.quotas.items()))
    broker |= shown_settings(account)
    for control in ControlKind:
        policies = control_policies(account, control)
        if policies:
            broker[control] = [
                {"PolicyName": policy.name, "PolicyDocument": json.loads(policy.text)}
                for policy in policies
            ]
    if broker:
        yield "Broker", {str(name): value for name, value in broker.items()}
