"""The directory's port: what every implementation promises.

Absent entities read as None. Names of users, roles and policies are unique per
account without regard to case and found without regard to it, as in AWS. Lists are
ordered by name (without regard to case) and stay stable while others write: an item
that is there the whole time is listed exactly once.

Each module here is one family of entities, with a reader and the writes of a change. A
function asks for the families it uses; the whole is for those that hand it on.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from broker.stores.directory.port.access_keys import AccessKeyChange, AccessKeyReader
from broker.stores.directory.port.accounts import (
    AccountChange,
    AccountReader,
    GenerationReader,
)
from broker.stores.directory.port.credentials import (
    ServerCertificateChange,
    ServerCertificateReader,
    UserCredentialChange,
    UserCredentialReader,
)
from broker.stores.directory.port.entities import EntityChange, EntityReader
from broker.stores.directory.port.groups import GroupChange, GroupReader
from broker.stores.directory.port.instance_profiles import (
    InstanceChange,
    InstanceReader,
)
from broker.stores.directory.port.mfa import (
    MfaDeviceChange,
    MfaDeviceReader,
    MfaStateWriter,
    PasskeyChange,
    PasskeyReader,
    PasskeyUseWriter,
)
from broker.stores.directory.port.policies import (
    OwnerReader,
    PolicyChange,
    PolicyReader,
)
from broker.stores.directory.port.providers import (
    LdapProviderChange,
    OidcProviderChange,
    ProviderReader,
    SamlProviderChange,
)
from broker.stores.directory.port.provisioning import (
    ProvisioningChange,
    ProvisioningReader,
)
from broker.stores.directory.port.reports import (
    ReportChange,
    ReportReader,
    RiskReader,
    SealReader,
    UseReader,
)
from broker.stores.directory.port.revocations import RevocationChange, RevocationReader
from broker.stores.directory.port.roles import RoleChange, RoleReader
from broker.stores.directory.port.services import (
    ResourcePolicyChange,
    ResourcePolicyReader,
    ServiceChange,
    ServiceReader,
)
from broker.stores.directory.port.upstreams import UpstreamChange, UpstreamReader
from broker.stores.directory.port.users import (
    LoginProfileChange,
    LoginProfileReader,
    UserChange,
    UserReader,
)

if TYPE_CHECKING:
    from broker.stores.directory.readings import ChangedRows


class DirectoryReader(
    GenerationReader,
    AccountReader,
    UserReader,
    LoginProfileReader,
    AccessKeyReader,
    GroupReader,
    RoleReader,
    OwnerReader,
    PolicyReader,
    ProviderReader,
    MfaDeviceReader,
    PasskeyReader,
    UserCredentialReader,
    ServerCertificateReader,
    InstanceReader,
    ServiceReader,
    ResourcePolicyReader,
    ProvisioningReader,
    UpstreamReader,
    UseReader,
    RiskReader,
    SealReader,
    ReportReader,
    RevocationReader,
    EntityReader,
    Protocol,
):
    """Every read; each raises ``StoreUnavailableError`` when the database is away."""


class DirectoryChange(
    AccountChange,
    UserChange,
    LoginProfileChange,
    AccessKeyChange,
    GroupChange,
    RoleChange,
    PolicyChange,
    SamlProviderChange,
    OidcProviderChange,
    LdapProviderChange,
    MfaDeviceChange,
    PasskeyChange,
    UserCredentialChange,
    ServerCertificateChange,
    InstanceChange,
    ServiceChange,
    ResourcePolicyChange,
    ProvisioningChange,
    UpstreamChange,
    ReportChange,
    RevocationChange,
    EntityChange,
    DirectoryReader,
    Protocol,
):
    """One open transaction on one account. Reads see its own writes.

    ``insert_…`` raises ``AlreadyExistsError`` for a taken name; ``update_…`` writes
    the whole entity by its unique id; ``delete_…`` removes the entity's own row and
    what exists only within it (tags, versions). Whatever AWS calls a delete conflict
    has been checked by the caller.
    """

    async def record(self, entry: AuditRecord) -> None:
        """Write the call's audit record into this very transaction."""
        ...


class Directory(DirectoryReader, MfaStateWriter, PasskeyUseWriter, Protocol):
    """The directory of all accounts."""

    def change(
        self, account: AccountId
    ) -> AbstractAsyncContextManager[DirectoryChange]:
        """Open the one transaction of a changing call.

        Commits when the block ends, after raising the account's generation; rolls
        back when it raises. Changes of one account run one after the other. Those that
        wait for each other may be committed together; none returns before that.

        Raises:
            ConflictError: the transaction collided and was rolled back.
            StoreUnavailableError: the database is away; nothing was written.
        """
        ...

    def on_commit(
        self, observer: "Callable[[AccountId, int, ChangedRows], None]"
    ) -> None:
        """Call the observer after each committed change of this process.

        The observer gets the account, its generation, and which rows the change wrote.
        """
        ...

    async def close(self) -> None: ...
