"""``Groups``: the properties of ``AWS::IAM::Group``; users say which they are in."""

from broker.kinds import groups
from broker.kinds.template.kind import AccountWork
from broker.kinds.template.owned import (
    ATTACHED,
    POLICIES,
    adopt_names,
    clear_owned,
    further_owned,
    keep_owned,
    read_attached,
    read_policies,
    show_policies,
    write_owned,
)
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Described, Section


async def _clear(work: AccountWork, there: Described) -> None:
    await clear_owned(work, there)
    await groups.check_removal(there.found, work.change)


GROUPS = Section(
    section="Groups",
    of=groups.GROUPS,
    name="GroupName",
    reads={
        "GroupName": Properties.name,
        "Path": Properties.path,
        ATTACHED: read_attached,
        POLICIES: read_policies,
    },
    renamed={"GroupName": "NewGroupName", "Path": "NewPath"},
    further=further_owned,
    shows={POLICIES: show_policies},
    write=write_owned,
    clear=_clear,
    adopt=adopt_names,
    keep=keep_owned,
)
