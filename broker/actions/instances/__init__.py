"""Machines: who may register, what profile each has, and its role's credentials.

`management` is for administrators and autoscalers, `machines` for the machines
themselves.
"""

from broker.actions.action import Action
from broker.actions.instances.machines import Associations, Machines
from broker.actions.instances.management import INSTANCE_MANAGEMENT
from broker.actions.sts.role_mint import RoleMinter
from broker.stores.directory.readings import FreshDirectory


def instance_actions(fresh: FreshDirectory, minter: RoleMinter) -> tuple[Action, ...]:
    """Every action about machines."""
    machines = Machines(fresh, minter, Associations(fresh))
    return (*INSTANCE_MANAGEMENT, *machines.actions())
