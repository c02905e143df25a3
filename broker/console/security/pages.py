"""The routes of *My security credentials*."""

from collections.abc import Iterable

from broker.console.page_frame import PageFrame, Route
from broker.console.security import credentials, mfa
from broker.console.security.overview import overview, services
from broker.console.security.own import HOME, SERVICES, Page, owned
from broker.console.security.passkeys import PASSKEY, passkey
from broker.console.security.password import change_password

_GET, _POST = ["GET"], ["POST"]
_BOTH = ["GET", "POST"]

_PAGES: tuple[tuple[str, list[str], Page], ...] = (
    (HOME, _GET, overview),
    (SERVICES, _GET, services),
    (f"{HOME}/password", _BOTH, change_password),
    (credentials.NEW_KEY, _POST, credentials.new_key),
    (credentials.UPLOAD, _BOTH, credentials.upload),
    (credentials.SERVICE_CREDENTIAL, _POST, credentials.new_service_credential),
    (credentials.RESET, _POST, credentials.reset_service_credential),
    (credentials.STATUS, _POST, credentials.set_status),
    (credentials.REMOVE, _BOTH, credentials.remove),
    (mfa.NEW, _GET, mfa.choose),
    (mfa.APP, _BOTH, mfa.app),
    (f"{mfa.APP}/enable", _POST, mfa.enable_app),
    (mfa.TOKEN, _BOTH, mfa.token),
    (mfa.RESYNC, _BOTH, mfa.resync),
    (mfa.REMOVE, _BOTH, mfa.remove),
    (PASSKEY, _BOTH, passkey),
)


class SecurityPages:
    """The pages of *My security credentials*."""

    def __init__(self, frame: PageFrame) -> None:
        self._frame = frame

    def routes(self) -> Iterable[Route]:
        """Their routes."""
        return (
            (path, methods, owned(self._frame, page)) for path, methods, page in _PAGES
        )
