"""Whatever a ``Principal`` element can name in this installation."""

from typing import Protocol

from broker.stores.directory.port.accounts import AccountReader
from broker.stores.directory.port.roles import RoleReader
from broker.stores.directory.port.users import UserReader


class PrincipalReader(AccountReader, UserReader, RoleReader, Protocol):
    """Accounts, users and roles."""
