"""Users' service credentials, signing certificates and SSH keys; server certificates."""

from collections.abc import Collection
from typing import Protocol

from broker.model.account import AccountId
from broker.model.credentials import CredentialKind, ServerCertificate, UserCredential
from broker.model.page import Page, PageRequest
from broker.stores.directory.port.entities import EntityReader


class UserCredentialReader(Protocol):
    """Credentials of users, but for passwords and access keys."""

    async def find_credential(
        self, account: AccountId, credential_id: str
    ) -> UserCredential | None: ...

    async def list_credentials(
        self, account: AccountId, kind: CredentialKind, user_id: str | None = None
    ) -> tuple[UserCredential, ...]:
        """A user's credentials of a kind, oldest first; all users' for None."""
        ...

    async def list_credentials_of(
        self, account: AccountId, user_ids: Collection[str]
    ) -> tuple[UserCredential, ...]:
        """These users' credentials of all kinds."""
        ...


class ServerCertificateReader(Protocol):
    """Server certificates."""

    async def find_server_certificate(
        self, account: AccountId, name: str
    ) -> ServerCertificate | None: ...

    async def list_server_certificates(
        self, account: AccountId, path_prefix: str, page: PageRequest
    ) -> Page[ServerCertificate]: ...


class UserCredentialChange(UserCredentialReader, Protocol):
    """Writes to users' credentials."""

    async def insert_credential(self, credential: UserCredential) -> None: ...

    async def update_credential(self, credential: UserCredential) -> None: ...

    async def delete_credential(self, credential: UserCredential) -> None: ...


class ServerCertificateChange(ServerCertificateReader, EntityReader, Protocol):
    """Writes to server certificates."""

    async def insert_server_certificate(
        self, certificate: ServerCertificate
    ) -> None: ...

    async def update_server_certificate(
        self, certificate: ServerCertificate
    ) -> None: ...

    async def delete_server_certificate(
        self, certificate: ServerCertificate
    ) -> None: ...
