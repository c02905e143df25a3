"""The demo's people, users and workloads, and their roles."""

from collections.abc import Mapping

from msgspec import Struct

from broker.model.account import AccountId
from broker.model.arn import iam_arn

ACCOUNT = AccountId("111122223333")
ALIAS = "demo"
SAML_PROVIDER = iam_arn(ACCOUNT, "saml-provider/DemoIdP")
ADMINISTRATOR = iam_arn(ACCOUNT, "role/Administrator")
ANALYST = iam_arn(ACCOUNT, "role/Analyst")
DEPLOY = iam_arn(ACCOUNT, "role/Deploy")
PORTAL_USER = "portal"
CONSOLE_USER = "dana"
CLIENT_ID = "demo-client"


class DemoPerson(Struct, frozen=True, kw_only=True):
    """Someone who signs in with SAML. ``roles`` are role ARNs."""

    key: str
    name: str
    email: str
    about: str
    roles: tuple[str, ...]
    tags: Mapping[str, str] = {}


class Workload(Struct, frozen=True, kw_only=True):
    """A program that authenticates with an ID token."""

    key: str
    name: str
    about: str
    subject: str
    role: str


PEOPLE = (
    DemoPerson(
        key="ana",
        name="Ana Lima",
        email="ana@example.com",
        about="Administrator and analyst: she chooses a role at sign-in.",
        roles=(ADMINISTRATOR, ANALYST),
        tags={"team": "platform"},
    ),
    DemoPerson(
        key="ben",
        name="Ben Okafor",
        email="ben@example.com",
        about="Analyst only: he is signed in directly.",
        roles=(ANALYST,),
        tags={"team": "data"},
    ),
)

WORKLOADS = (
    Workload(
        key="ci",
        name="A deployment job",
        about="A pipeline that exchanges its ID token for the role Deploy.",
        subject="repo:example@123456/shop@456789:ref:refs/heads/main",
        role=DEPLOY,
    ),
)


def find_person(key: str) -> DemoPerson | None:
    """Find a person by key."""
    return next((person for person in PEOPLE if person.key == key), None)


def find_workload(key: str) -> Workload | None:
    """Find a workload by key."""
    return next((workload for workload in WORKLOADS if workload.key == key), None)
