"""Writes the template that describes an account."""

import json

from broker.identities.control_policies import ControlKind, control_policies
from broker.identities.template.account_settings import shown_settings
from broker.identities.template.kind import without_empty
from broker.identities.template.kinds import KINDS
from broker.identities.template.yaml_text import dump_yaml
from broker.model.account import Account
from broker.stores.directory.port import DirectoryReader


async def export_account(directory: DirectoryReader, account: Account) -> str:
    """The account's template, without any secret; applying it changes nothing."""
    described: dict[str, object] = {}
    if account.alias is not None:
        described["Alias"] = account.alias
    if account.password_policy is not None:
        described["PasswordPolicy"] = dict(account.password_policy)
    for kind in KINDS:
        specs = await kind.load(directory, account.account_id)
        if specs:
            described[kind.section] = [without_empty(kind.show(spec)) for spec in specs]
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
        described["Broker"] = {str(name): value for name, value in broker.items()}
    return dump_yaml({"Accounts": {account.account_id: described}})
