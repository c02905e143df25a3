"""What somebody can hold: the table's columns.

To hold a thing is to have it by the door that gives it, and *is it alive?* means to use
it: a place is a function that makes the one and returns the other. What is good once is
held several times, since each question spends one. None: this person cannot hold it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx

from tests.leavers import terminals
from tests.leavers.people import (
    Browser,
    Certified,
    Instance,
    Machine,
    Person,
    TokenHolder,
    User,
)
from tests.leavers.world import ORDERS, OTHER, presigned, signed
from tests.support.broker import Key

IsAlive = Callable[[int], bool]
"""Use it at a node; whether it was accepted."""

SIGNED_IN, TERMINALS = "Sign-ins", "Terminals"
KEYS, ELSEWHERE = "Keys and roles", "Machines, services and other engines"
CLI = "The AWS CLI 2"
TABLES = (SIGNED_IN, TERMINALS, CLI, KEYS, ELSEWHERE)
"""The page's tables."""

_ACCEPTED, _FAILED = 200, 500

TRIES = 4
"""How many of a thing that is good once somebody has."""


@dataclass(frozen=True)
class Place:
    """A column, in one of the page's tables.

    ``is_spent``: it is good once, or too slow to ask often, as a program is
    (``is_program``). ``mints``: to use it asks whoever vouches for the person.
    """

    name: str
    table: str
    heading: str
    hold: Callable[[Person], IsAlive | None]
    is_spent: bool = False
    mints: bool = False

    @property
    def is_program(self) -> bool:
        return self.table == CLI


PLACES: dict[str, Place] = {}


def place(
    table: str, heading: str, *, is_spent: bool = False, mints: bool = False
) -> Callable[[Callable[[Person], IsAlive | None]], Callable[..., IsAlive | None]]:
    """Declare a column, which is called as its function is."""

    def declare(
        hold: Callable[[Person], IsAlive | None],
    ) -> Callable[..., IsAlive | None]:
        name = hold.__name__
        PLACES[name] = Place(name, table, heading, hold, is_spent, mints)
        return hold

    return declare


def credentials(person: Person, key: Key) -> IsAlive:
    """Alive while STS says who they are."""

    def is_alive(node: int) -> bool:
        answer = person.world.query(key, "GetCallerIdentity", node)
        return answer.status_code == 200

    return is_alive


def page(browser: Browser, path: str, text: str) -> IsAlive:
    """Alive while the page has a text."""
    cookies = browser.cookies

    def is_alive(node: int) -> bool:
        headers = {"cookie": cookies}
        answer = browser.world.ask("GET", path, node, headers=headers)
        return answer.status_code == 200 and text in answer.text

    return is_alive


def each_once(things: Iterator[Any], accepts: Callable[[Any, int], bool]) -> IsAlive:
    """Things that are good once, of which each question takes the next."""
    stock = list(things)
    return lambda node: accepts(stock.pop(), node)


@place(KEYS, "access key")
def access_key(person: Person) -> IsAlive | None:
    return credentials(person, person.key) if isinstance(person, User) else None


@place(KEYS, "`GetSessionToken`")
def session_token(person: Person) -> IsAlive | None:
    if not isinstance(person, User):
        return None
    answer = person.call("sts", "get_session_token")
    return credentials(person, Key.of(answer["Credentials"]))


@place(KEYS, "`GetFederationToken`")
def federation_token(person: Person) -> IsAlive | None:
    if not isinstance(person, User):
        return None
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": everything})
    answer = person.call("sts", "get_federation_token", Name="bob", Policy=policy)
    return credentials(person, Key.of(answer["Credentials"]))


@place(SIGNED_IN, "console")
def console(person: Person) -> IsAlive | None:
    if not person.has_pages:
        return None
    return page(person.console, "/console/", "/console/sign-out")


@place(SIGNED_IN, "access portal")
def portal(person: Person) -> IsAlive | None:
    if not person.has_pages:
        return None
    role = person.account.arn(f"role/{person.portal_role}")
    return page(person.portal, person.portal_path, f'value="{role}"')


@place(SIGNED_IN, "copied credentials")
def copied_credentials(person: Person) -> IsAlive | None:
    return credentials(person, person.copied) if person.has_pages else None


@place(SIGNED_IN, "credentials exchanged for the proof")
def exchanged_credentials(person: Person) -> IsAlive | None:
    key = person.exchange()
    return None if key is None else credentials(person, key)


@place(ELSEWHERE, "Roles Anywhere session")
def roles_anywhere_session(person: Person) -> IsAlive | None:
    return credentials(person, person.base) if isinstance(person, Certified) else None


@place(ELSEWHERE, "an instance's credentials")
def instance_credentials(person: Person) -> IsAlive | None:
    return credentials(person, person.base) if isinstance(person, Instance) else None


def assume(person: Person, *path: tuple[str, str]) -> Key:
    """The last of roles, each assumed with the one before it."""
    key = person.base
    for account, name in path:
        with closing(person.account.client("sts", key)) as sts:
            answer = sts.assume_role(
                RoleArn=f"arn:aws:iam::{account}:role/{name}", RoleSessionName="job"
            )
        key = Key.of(answer["Credentials"])
    return key


def chain(person: Person, length: int) -> IsAlive | None:
    if isinstance(person, TokenHolder):
        return None
    own = person.account.number
    path = ((own, "First"), (OTHER, "Second"), (own, "Third"))
    return credentials(person, assume(person, *path[:length]))


@place(KEYS, "role A")
def role_a(person: Person) -> IsAlive | None:
    return chain(person, 1)


@place(KEYS, "A→B")
def role_b(person: Person) -> IsAlive | None:
    return chain(person, 2)


@place(KEYS, "A→B→C")
def role_c(person: Person) -> IsAlive | None:
    return chain(person, 3)


@place(KEYS, "presigned URL")
def presigned_url(person: Person) -> IsAlive | None:
    if isinstance(person, TokenHolder):
        return None
    query = "Action=GetCallerIdentity&Version=2011-06-15"
    url = presigned(f"{person.world.url}/?{query}", person.base, "sts")
    path = url.removeprefix(person.world.url)
    return lambda node: person.world.ask("GET", path, node).status_code == 200


@place(TERMINALS, "`aws login`: credentials")
def login_credentials(person: Person) -> IsAlive | None:
    if not person.has_pages:
        return None
    return credentials(person, terminals.log_in(person).key)


@place(TERMINALS, "its refresh token", mints=True)
def login_refresh_token(person: Person) -> IsAlive | None:
    return terminals.log_in(person).renew if person.has_pages else None


@place(TERMINALS, "its code, not yet used", is_spent=True, mints=True)
def login_code(person: Person) -> IsAlive | None:
    if not person.has_pages:
        return None
    logins = (terminals.Login(person.console) for _ in range(TRIES))
    return each_once(logins, lambda login, node: login.redeem(node))


@place(TERMINALS, "`aws sso login`: access token", mints=True)
def sso_access_token(person: Person) -> IsAlive | None:
    return terminals.sso_log_in(person).gives_role if person.has_pages else None


@place(TERMINALS, "its refresh token", mints=True)
def sso_refresh_token(person: Person) -> IsAlive | None:
    return terminals.sso_log_in(person).renew if person.has_pages else None


@place(TERMINALS, "its device code, not yet used", is_spent=True, mints=True)
def sso_device_code(person: Person) -> IsAlive | None:
    if not person.has_pages:
        return None
    devices = (terminals.Device(person) for _ in range(TRIES))
    return each_once(devices, lambda device, node: device.redeem(node))


@place(SIGNED_IN, "role's credentials from the portal")
def portal_credentials(person: Person) -> IsAlive | None:
    if not person.has_pages:
        return None
    key = terminals.sso_log_in(person).credentials()
    assert key is not None
    return credentials(person, key)


@place(CLI, "after `aws login`", is_spent=True, mints=True)
def cli_login(person: Person) -> IsAlive | None:
    """Alive while the program's next command works, as often as it is tried."""
    command_line = person.command_line
    if command_line is None:
        return None
    command_line.log_in(person.console, "login", "--profile", "work")
    assert command_line.knows_itself("work")
    return lambda _node: command_line.knows_itself("work")


@place(CLI, "after `aws sso login`", is_spent=True, mints=True)
def cli_sso_login(person: Person) -> IsAlive | None:
    command_line = person.command_line
    if command_line is None:
        return None
    command_line.log_in(person.portal, "sso", "login", "--profile", "dev")
    assert command_line.knows_itself("dev")
    return lambda _node: command_line.knows_itself("dev")


@place(SIGNED_IN, "sign-in token", is_spent=True, mints=True)
def signin_token(person: Person) -> IsAlive | None:
    if isinstance(person, TokenHolder):
        return None
    key = person.base if person.base.session_token else assume_own(person)
    session = {
        "sessionId": key.access_key_id,
        "sessionKey": key.secret_access_key,
        "sessionToken": key.session_token,
    }
    query = {"Action": "getSigninToken", "Session": json.dumps(session)}

    def tokens() -> Iterator[str]:
        for _ in range(TRIES):
            answer = person.world.ask("GET", f"/federation?{urlencode(query)}")
            assert answer.status_code == 200, answer.text
            yield answer.json()["SigninToken"]

    def signs_in(token: str, _node: int) -> bool:
        query = {"Action": "login", "Destination": "/console/", "SigninToken": token}
        answer = Browser(person.world).get(f"/federation?{urlencode(query)}")
        return answer.status_code == 200 and "/console/sign-out" in answer.text

    return each_once(tokens(), signs_in)


def assume_own(person: Person) -> Key:
    """A user's federation token: what AWS has sign-in tokens made with."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": everything})
    answer = person.call("sts", "get_federation_token", Name="ann", Policy=policy)
    return Key.of(answer["Credentials"])


@place(KEYS, "web identity token")
def web_identity_token(person: Person) -> IsAlive | None:
    if isinstance(person, TokenHolder):
        return None
    token = person.call(
        *("sts", "get_web_identity_token"),
        Audience=["here"],
        SigningAlgorithm="RS256",
        DurationSeconds=900,
    )["WebIdentityToken"]

    def is_alive(node: int) -> bool:
        answer = person.world.query(
            None,
            "AssumeRoleWithWebIdentity",
            node,
            RoleArn=person.account.arn("role/Visitor"),
            RoleSessionName="visitor",
            WebIdentityToken=token,
        )
        return answer.status_code == 200

    return is_alive


@place(SIGNED_IN, "the proof again", is_spent=True, mints=True)
def own_proof(person: Person) -> IsAlive | None:
    """Assertions are spent; a token, password, certificate or key is held as often."""
    if isinstance(person, TokenHolder):
        return None
    return each_once((person.prove() for _ in range(TRIES)), person.accepts)


def join_token(person: Person) -> str:
    """A token's holder has one of an administrator's."""
    key = person.account.key if isinstance(person, TokenHolder) else person.base
    with closing(person.account.client("broker", key)) as api:
        made = api.create_join_token(InstanceProfileName="Machine")
    token_id = made["JoinToken"]["TokenId"]
    person.tokens["join"] = f"{person.tokens.get('join', '')} {token_id}"
    return str(made["Token"])


@place(ELSEWHERE, "join token not yet used", is_spent=True)
def join_tokens(person: Person) -> IsAlive | None:
    tokens = (join_token(person) for _ in range(TRIES))
    return each_once(
        tokens, lambda token, node: Machine(person.world).join(token, node)
    )


@place(ELSEWHERE, "credentials of the machine that it admitted")
def admitted_credentials(person: Person) -> IsAlive | None:
    machine = Machine(person.world)
    assert machine.join(join_token(person))
    key = machine.credentials()
    assert key is not None
    return credentials(person, key)


@place(ELSEWHERE, "its next credentials")
def admitted_machine(person: Person) -> IsAlive | None:
    machine = Machine(person.world)
    assert machine.join(join_token(person))
    return lambda node: machine.credentials(node) is not None


@place(ELSEWHERE, "S3 by versitygw")
def s3(person: Person) -> IsAlive | None:
    host = person.account.host
    if not host or isinstance(person, TokenHolder):
        return None
    url = f"http://{host}/reports?list-type=2"

    def is_alive(_node: int) -> bool:
        headers = signed("GET", url, person.base, "s3", region="us-east-1")
        answer = httpx.get(url, headers=headers, trust_env=False, timeout=60)
        if answer.status_code >= _FAILED:
            raise AssertionError(answer.text + person.world.broker.log[-4000:])
        return answer.status_code == _ACCEPTED

    return is_alive


@place(ELSEWHERE, "own service, by `/decisions`")
def own_service(person: Person) -> IsAlive | None:
    """With a request that the person signed; a token's holder asks for an operator."""
    with closing(person.account.client("broker")) as api:
        made = api.create_service_token(ServiceName="orders")
    token = made["Token"]
    is_holder = isinstance(person, TokenHolder)
    if is_holder:
        person.tokens["service"] = made["ServiceToken"]["TokenId"]
    signer = person.account.key if is_holder else person.base

    def is_alive(node: int) -> bool:
        url = f"https://{ORDERS}/orders/7"
        host = {"host": ORDERS}
        headers = signed("GET", url, signer, "execute-api", host, region="us-east-1")
        described = {
            "Method": "GET",
            "Target": "/orders/7",
            "Headers": [list(header) for header in headers.items()],
            "Body": "",
        }
        answer = person.world.ask(
            "POST",
            "/decisions",
            node,
            headers={"x-broker-service-token": token},
            json={"Request": described},
        )
        return answer.status_code == 200 and answer.json()["Allowed"]

    return is_alive


@place(ELSEWHERE, "SCIM")
def scim(person: Person) -> IsAlive | None:
    if not isinstance(person, TokenHolder):
        return None
    provider = person.account.arn("saml-provider/Corp")
    with closing(person.account.client("broker")) as api:
        made = api.create_scim_token(ProviderArn=provider)
    person.tokens["SCIM"] = made["ScimToken"]["TokenId"]
    headers = {"authorization": f"Bearer {made['Token']}"}
    path = f"/scim/v2/{person.account.number}/Users"
    return lambda node: (
        person.world.ask("GET", path, node, headers=headers).status_code == 200
    )


@place(ELSEWHERE, "session at an upstream")
def upstream_session(person: Person) -> IsAlive | None:
    if isinstance(person, TokenHolder):
        return None
    key = assume(person, (person.account.number, "Upstream"))
    upstream = person.world.upstream
    iam = person.world.client("iam", key, upstream.url)

    def is_alive(_node: int) -> bool:
        try:
            iam.list_users()
        except iam.exceptions.ClientError as refused:
            return bool(refused.response["ResponseMetadata"]["HTTPStatusCode"] != 403)
        return True

    return is_alive
