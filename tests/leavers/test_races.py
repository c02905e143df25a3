"""Whatever is issued while a person is leaving ends with what they already held."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest
from lxml import html

from tests.leavers import terminals
from tests.leavers.cells import expected
from tests.leavers.people import (
    Browser,
    Machine,
    OidcPerson,
    Person,
    SamlPerson,
    credentials_in,
)
from tests.leavers.places import IsAlive, credentials, join_token, page
from tests.leavers.ways import PROMISE_SECONDS, WAYS, Way
from tests.leavers.world import OTHER, World, running
from tests.support.broker import Key

Make = Callable[[], IsAlive | None]
"""Make one now; None if it is refused."""

BOUND = 30
"""Times the promise is waited for: a busy machine is not a bug, here."""

_BEFORE_SECONDS, _AFTER_SECONDS = 0.2, 1.2
"""How long issuing goes on before the person leaves, after one of each, and afterwards."""

_STOCK = 30
"""Of proofs that were issued before."""

NAMES = (
    *("user_deleted", "subject_revoked", "token_subject_revoked", "role_deleted"),
    *("saml_provider_deleted", "scim_deactivated", "logged_out_by_sid"),
    *("anchor_deleted", "instance_ended", "console_signed_out", "portal_signed_out"),
)

MAKERS: dict[str, Callable[[Person], Make | None]] = {}
"""By the place whose thing is made."""


def maker(
    place: str,
) -> Callable[[Callable[[Person], Make | None]], Callable[[Person], Make | None]]:
    def add(prepare: Callable[[Person], Make | None]) -> Callable[..., Make | None]:
        MAKERS[place] = prepare
        return prepare

    return add


@maker("exchanged_credentials")
def exchange(person: Person) -> Make | None:
    """Proofs that were issued before are exchanged."""
    if not isinstance(person, SamlPerson | OidcPerson):
        return None
    proofs = [person.prove() for _ in range(_STOCK)]

    def make() -> IsAlive | None:
        if not proofs:
            return None
        return of_answer(person, person._exchange(proofs.pop()))

    return make


def of_answer(person: Person, answer: httpx.Response) -> IsAlive | None:
    if answer.status_code != 200:
        return None
    return credentials(person, credentials_in(answer))


@maker("console")
def between_two_steps(person: Person) -> Make | None:
    """Sign-ins that were begun before go on: what is next is a link, or a form."""
    if not person.has_pages:
        return None
    waiting = list(begin(person, 12))

    def make() -> IsAlive | None:
        if not waiting:
            return None
        browser, go_on = waiting.pop()
        answer = go_on()
        if "/console/sign-out" not in answer.text:
            return None
        return page(browser, "/console/", "/console/sign-out")

    return make


def begin(
    person: Person, number: int
) -> Iterator[tuple[Browser, Callable[[], httpx.Response]]]:
    for _ in range(number):
        browser = Browser(person.world)
        if isinstance(person, SamlPerson):
            data = {"SAMLResponse": person.prove(), "RelayState": "/console/"}
            sent = browser.http.post("/saml", data=data, follow_redirects=False)
        elif isinstance(person, OidcPerson):
            path = f"{person._start(browser)}?Destination=/console/"
            while "/signin/continue" not in path:  # what the provider's answer gave
                sent = browser.http.get(path, follow_redirects=False)
                path = sent.headers["location"]
        else:
            yield browser, lambda b=browser: person.open(b, "/console/")  # type: ignore[misc]
            continue
        location = sent.headers["location"]
        yield browser, lambda b=browser, to=location: b.get(to)  # type: ignore[misc]


@maker("copied_credentials")
def copy(person: Person) -> Make | None:
    if not person.has_pages:
        return None
    shown = person.console.get("/console/")

    def make() -> IsAlive | None:
        text = person.console.submit(shown, "/console/credentials").text
        found = key_in(text)
        return None if found is None else credentials(person, found)

    return make


def key_in(text: str) -> Key | None:
    shown = html.fromstring(text).text_content()
    values = dict(re.findall(r"export (AWS_[A-Z_]+)=(\S+)", shown))
    if "AWS_SESSION_TOKEN" not in values:
        return None
    return Key(
        values["AWS_ACCESS_KEY_ID"],
        values["AWS_SECRET_ACCESS_KEY"],
        values["AWS_SESSION_TOKEN"],
    )


@maker("login_credentials")
def renew_login(person: Person) -> Make | None:
    if not person.has_pages:
        return None
    login = terminals.log_in(person)

    def make() -> IsAlive | None:
        return credentials(person, login.key) if login.renew() else None

    return make


@maker("portal_credentials")
def ask_portal(person: Person) -> Make | None:
    if not person.has_pages:
        return None
    device = terminals.sso_log_in(person)

    def make() -> IsAlive | None:
        key = device.credentials()
        return None if key is None else credentials(person, key)

    return make


@maker("role_b")
def assume_roles(person: Person) -> Make | None:
    path = ((person.account.number, "First"), (OTHER, "Second"))
    base = person.base

    def make() -> IsAlive | None:
        key = base
        for account, name in path:
            answer = person.world.query(
                key,
                "AssumeRole",
                RoleArn=f"arn:aws:iam::{account}:role/{name}",
                RoleSessionName="job",
            )
            if answer.status_code != 200:
                return None
            key = credentials_in(answer)
        return credentials(person, key)

    return make


@maker("web_identity_token")
def visit(person: Person) -> Make | None:
    """A session that a token of the broker's own opened."""
    base = person.base

    def make() -> IsAlive | None:
        try:
            with closing(person.account.client("sts", base)) as sts:
                token = sts.get_web_identity_token(
                    Audience=["here"], SigningAlgorithm="RS256", DurationSeconds=900
                )["WebIdentityToken"]
        except Exception as error:
            if not hasattr(error, "response"):
                raise
            return None
        return of_answer(
            person,
            person.world.query(
                None,
                "AssumeRoleWithWebIdentity",
                RoleArn=person.account.arn("role/Visitor"),
                RoleSessionName="visitor",
                WebIdentityToken=token,
            ),
        )

    return make


@maker("admitted_credentials")
def join(person: Person) -> Make | None:
    tokens = [join_token(person) for _ in range(12)]

    def make() -> IsAlive | None:
        machine = Machine(person.world)
        if not tokens or not machine.join(tokens.pop()):
            return None
        key = machine.credentials()
        return None if key is None else credentials(person, key)

    return make


_LIVES = {
    # Another browser's sign-in is no part of a sign-out.
    *(("console_signed_out", "console"), ("portal_signed_out", "console")),
    # As the roles that were assumed with it.
    *(("user_deleted", "web_identity_token"), ("role_deleted", "web_identity_token")),
}


class Race:
    """What is made of one place, again and again, in a thread of its own.

    ``all_began`` is passed once each race has made its first, or failed to.
    """

    def __init__(self, name: str, make: Make, all_began: threading.Barrier) -> None:
        self.name, self._make, self._all_began = name, make, all_began
        self.made: list[IsAlive] = []
        self.failures: list[BaseException] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._make_one()
        self._all_began.wait()
        while not self._stopped.is_set() and not self.failures:
            self._make_one()

    def _make_one(self) -> None:
        try:
            is_alive = self._make()
        except BaseException as error:  # noqa: BLE001  # told by the test
            self.failures.append(error)
            return
        if is_alive is not None:
            self.made.append(is_alive)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


def race(world: World, way: Way) -> list[str]:
    """In words: what was made and is alive, and makers that made nothing."""
    account = world.accounts[way.name]
    (person,) = people = way.people(account)
    way.arrive(people)
    known = expected()
    makes = {
        name: prepare(person)
        for name, prepare in MAKERS.items()
        if not known.lives(way.name, name) and (way.name, name) not in _LIVES
    }
    if "signed_out" in way.name:  # its page, with its form
        _ = person.portal, person.console
    held = {name: make for name, make in makes.items() if make is not None}
    all_began = threading.Barrier(len(held) + 1)
    races = [Race(name, make, all_began) for name, make in held.items()]
    for each in races:
        each.start()
    all_began.wait()
    time.sleep(_BEFORE_SECONDS)
    way.leave(people)
    left_at = time.monotonic()
    time.sleep(_AFTER_SECONDS)
    for each in races:
        each.stop()
    faults = [
        f"{way.name}: {each.name}: {error!r}"
        for each in races
        for error in each.failures
    ]
    faults += [
        f"{way.name}: {each.name} was never made" for each in races if not each.made
    ]
    alive = {each.name: each.made for each in races}
    while any(alive.values()) and time.monotonic() - left_at < BOUND * PROMISE_SECONDS:
        alive = {
            name: [is_alive for is_alive in made if is_alive(0)]
            for name, made in alive.items()
        }
    return faults + [
        f"{way.name}: {len(made)} of {name} are alive"
        for name, made in alive.items()
        if made
    ]


@pytest.mark.timeout(900)
def test_what_is_made_while_somebody_leaves_does_not_outlive_it(tmp_path: Path) -> None:
    ways = [WAYS[name] for name in NAMES]
    with running(tmp_path) as world:
        world.lay_out({way.name: (way.origin, way.options) for way in ways})
        world.settle()
        with ThreadPoolExecutor(2) as threads:
            faults = list(threads.map(lambda way: race(world, way), ways))
    assert not any(faults), chr(10).join(f for e in faults for f in e)
