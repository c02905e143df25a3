"""The routes of *My security credentials*."""

from broker.console.security_credentials import credentials, mfa
from broker.console.security_credentials.overview import overview, services
from broker.console.security_credentials.own import HERE, HOME, SERVICES, OwnPage, owned
from broker.console.security_credentials.passkeys import PASSKEY, passkey
from broker.console.security_credentials.password import change_password
from broker.console.visit import BOTH, GET, POST, PageRoute

_PAGES: tuple[tuple[str, tuple[str, ...], OwnPage], ...] = (
    (HOME, GET, overview),
    (SERVICES, GET, services),
    (f"{HOME}/password", BOTH, change_password),
    (credentials.NEW_KEY, POST, credentials.new_key),
    (credentials.UPLOAD, BOTH, credentials.upload),
    (credentials.SERVICE_CREDENTIAL, POST, credentials.new_service_credential),
    (credentials.RESET, POST, credentials.reset_service_credential),
    (credentials.STATUS, POST, credentials.set_status),
    (credentials.REMOVE, BOTH, credentials.remove),
    (mfa.NEW, GET, mfa.choose),
    (mfa.APP, BOTH, mfa.app),
    (f"{mfa.APP}/enable", POST, mfa.enable_app),
    (mfa.TOKEN, BOTH, mfa.token),
    (mfa.RESYNC, BOTH, mfa.resync),
    (mfa.REMOVE, BOTH, mfa.remove),
    (PASSKEY, BOTH, passkey),
)

SECURITY_CREDENTIALS = tuple(
    PageRoute(path, HERE, owned(page), methods) for path, methods, page in _PAGES
)
