"""How somebody leaves: the table's rows.

A way makes the people of its row, and is a function that ends them; it returns when
whoever does it has the answer, and the seconds are counted from then. Who must be asked
about (``asked_seconds``) are two people who leave at once, since to use some of what a
person holds asks about that person at once: one uses only the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from tests.leavers import provider as oidc
from tests.leavers.people import (
    AdPerson,
    Certified,
    Instance,
    KeycloakPerson,
    LdapPerson,
    OidcPerson,
    Person,
    SamlPerson,
    TokenHolder,
    User,
)
from tests.leavers.world import Account
from tests.support.scim import directory

KINDS: Mapping[str, type[Person]] = {
    "user": User,
    "SAML": SamlPerson,
    "OIDC": OidcPerson,
    "Keycloak": KeycloakPerson,
    "LDAP": LdapPerson,
    "AD": AdPerson,
    "certificate": Certified,
    "instance": Instance,
    "token": TokenHolder,
}
"""By origin: who is in an account of that."""

PROMISE_SECONDS = 2.0
"""Where the broker is told."""

Leave = Callable[[Sequence[Any]], object]


@dataclass(frozen=True)
class Way:
    """A row. ``options`` are those of the provider, ``needs`` a program that runs.

    ``arrive`` is done before anything is held.
    """

    name: str
    heading: str
    origin: str
    leave: Leave
    options: Mapping[str, Any] = field(default_factory=dict)
    arrive: Leave = lambda _people: None  # most need nothing
    asked_seconds: float = 0
    needs: str = ""

    @property
    def promise_seconds(self) -> float:
        return self.asked_seconds + PROMISE_SECONDS

    def people(self, account: Account) -> list[Person]:
        kind = KINDS[self.origin]
        names = ["leaver"]
        if self.needs:
            names = [f"r{account.number}"]
        if self.asked_seconds:
            names = [f"q{account.number}", f"b{account.number}"]
        return [kind(account, name) for name in names]


WAYS: dict[str, Way] = {}


def way(heading: str, origin: str, **more: Any) -> Callable[[Leave], Leave]:
    """Declare a row."""

    def declare(leave: Leave) -> Leave:
        name = leave.__name__
        WAYS[name] = Way(name, heading, origin, leave, **more)
        return leave

    return declare


def iam(person: Person, *calls: tuple[str, Mapping[str, Any]]) -> None:
    """What an administrator does with IAM."""
    client = person.account.client("iam")
    for operation, params in calls:
        getattr(client, operation)(**params)
    client.close()


def revoke(person: Person, *words: str) -> None:
    """At an upstream, too, as far as it lets the broker."""
    person.world.broker.command("sessions", "revoke", *words, "--upstream")


@way("user deleted", "user")
def user_deleted(people: Sequence[User]) -> None:
    (user,) = people
    name = {"UserName": user.name}
    key = {**name, "AccessKeyId": user.key.access_key_id}
    policy = "arn:aws:iam::aws:policy/AdministratorAccess"
    iam(
        user,
        ("delete_access_key", key),
        ("delete_login_profile", name),
        ("detach_user_policy", {**name, "PolicyArn": policy}),
        ("delete_user", name),
    )


@way("access key deactivated", "user")
def key_deactivated(people: Sequence[User]) -> None:
    (user,) = people
    key = {"UserName": user.name, "AccessKeyId": user.key.access_key_id}
    iam(user, ("update_access_key", {**key, "Status": "Inactive"}))


@way("access key deleted", "user")
def key_deleted(people: Sequence[User]) -> None:
    (user,) = people
    key = {"UserName": user.name, "AccessKeyId": user.key.access_key_id}
    iam(user, ("delete_access_key", key))


@way("password deleted", "user")
def password_deleted(people: Sequence[User]) -> None:
    (user,) = people
    iam(user, ("delete_login_profile", {"UserName": user.name}))


@way("password changed by an administrator", "user")
def password_changed(people: Sequence[User]) -> None:
    (user,) = people
    params = {"UserName": user.name, "Password": "Another-horse-8"}
    iam(user, ("update_login_profile", params))


@way("`sessions revoke` of the user", "user")
def user_revoked(people: Sequence[User]) -> None:
    (user,) = people
    revoke(user, user.account.arn(f"user/{user.name}"))


@way("`sessions revoke` of the access key", "user")
def key_revoked(people: Sequence[User]) -> None:
    (user,) = people
    revoke(user, user.key.access_key_id)


@way("`sessions revoke` of the copied credentials", "SAML")
def session_revoked(people: Sequence[Person]) -> None:
    (person,) = people
    revoke(person, person.copied.access_key_id)


@way("`sessions revoke` by issuer and subject", "SAML")
def subject_revoked(people: Sequence[Person]) -> None:
    (person,) = people
    issuer = ("--issuer", person.account.entity_id, "--subject", person.name)
    revoke(person, person.account.number, *issuer)


@way("the same of a token's", "OIDC")
def token_subject_revoked(people: Sequence[Person]) -> None:
    (person,) = people
    issuer = ("--issuer", person.account.issuer, "--subject", oidc.SUBJECT)
    revoke(person, person.account.number, *issuer)


@way("`sessions revoke` by source identity", "SAML")
def source_identity_revoked(people: Sequence[Person]) -> None:
    (person,) = people
    number = person.account.number
    revoke(person, number, "--source-identity", f"{person.name}-identity")


@way("`sessions revoke` of the role", "SAML")
def role_revoked(people: Sequence[Person]) -> None:
    (person,) = people
    revoke(person, person.account.arn("role/Person"))


@way("role deleted", "SAML")
def role_deleted(people: Sequence[Person]) -> None:
    (person,) = people
    name = {"RoleName": "Person"}
    policy = "arn:aws:iam::aws:policy/AdministratorAccess"
    iam(
        person,
        ("detach_role_policy", {**name, "PolicyArn": policy}),
        ("delete_role", name),
    )


@way("SAML provider deleted", "SAML")
def saml_provider_deleted(people: Sequence[Person]) -> None:
    (person,) = people
    arn = {"SAMLProviderArn": person.account.provider}
    iam(person, ("delete_saml_provider", arn))


@way("OIDC provider deleted", "OIDC")
def oidc_provider_deleted(people: Sequence[Person]) -> None:
    (person,) = people
    arn = {"OpenIDConnectProviderArn": person.account.provider}
    iam(person, ("delete_open_id_connect_provider", arn))


def provision(people: Sequence[Person]) -> None:
    """The provider's directory has the person, in the group with the role."""
    (person,) = people
    api = person.account.client("broker")
    made = api.create_scim_token(ProviderArn=person.account.provider)
    api.close()
    person.tokens["SCIM"] = made["Token"]
    person.world.settle()
    with directory(person.world.broker, made["Token"], person.account.number) as corp:
        person.tokens["user"] = corp.create_user(person.name)["id"]
        group = corp.create_group("staff", person.tokens["user"])
        person.tokens["group"] = group["id"]
    person.world.settle()


def scim(person: Person, about: str, **operation: Any) -> None:
    """The directory changes a resource, or deletes it."""
    token, number = person.tokens["SCIM"], person.account.number
    with directory(person.world.broker, token, number) as corp:
        answer = (
            corp.patch(about, operation) if operation else corp.send("DELETE", about)
        )
        assert answer.is_success, answer.text


SCIM = {"ScimSubject": "userName"}


@way("SCIM: person deactivated", "SAML", options=SCIM, arrive=provision)
def scim_deactivated(people: Sequence[Person]) -> None:
    (person,) = people
    about = f"/Users/{person.tokens['user']}"
    scim(person, about, op="replace", path="active", value=False)


@way("SCIM: person deleted", "SAML", options=SCIM, arrive=provision)
def scim_deleted(people: Sequence[Person]) -> None:
    (person,) = people
    scim(person, f"/Users/{person.tokens['user']}")


@way("SCIM: person removed from the group", "SAML", options=SCIM, arrive=provision)
def scim_removed(people: Sequence[Person]) -> None:
    (person,) = people
    member = f'members[value eq "{person.tokens["user"]}"]'
    scim(person, f"/Groups/{person.tokens['group']}", op="remove", path=member)


def back_channel(person: OidcPerson, **about: str) -> None:
    token = person.world.provider.logout_token(person.account.number, **about)
    answer = httpx.post(person.logout_address, data={"logout_token": token})
    assert answer.status_code == 200, answer.text


@way("OIDC back-channel logout by `sid`", "OIDC")
def logged_out_by_sid(people: Sequence[OidcPerson]) -> None:
    (person,) = people
    back_channel(person, sid=oidc.SID, sub=oidc.SUBJECT)


@way("OIDC back-channel logout by `sub`", "OIDC")
def logged_out_by_sub(people: Sequence[OidcPerson]) -> None:
    (person,) = people
    back_channel(person, sub=oidc.SUBJECT)


@way("trust anchor disabled", "certificate")
def anchor_disabled(people: Sequence[Certified]) -> None:
    (machine,) = people
    rolesanywhere(machine, "disable_trust_anchor", trustAnchorId=anchor_id(machine))


@way("trust anchor deleted", "certificate")
def anchor_deleted(people: Sequence[Certified]) -> None:
    (machine,) = people
    rolesanywhere(machine, "delete_trust_anchor", trustAnchorId=anchor_id(machine))


@way("profile disabled", "certificate")
def profile_disabled(people: Sequence[Certified]) -> None:
    (machine,) = people
    rolesanywhere(machine, "disable_profile", profileId=machine.profile["profileId"])


@way("profile deleted", "certificate")
def profile_deleted(people: Sequence[Certified]) -> None:
    (machine,) = people
    rolesanywhere(machine, "delete_profile", profileId=machine.profile["profileId"])


@way("certificate revoked by a CRL", "certificate")
def certificate_revoked(people: Sequence[Certified]) -> None:
    (machine,) = people
    rolesanywhere(
        machine,
        "import_crl",
        name="revoked",
        enabled=True,
        crlData=machine.authority.revoke(machine.certificate),
        trustAnchorArn=machine.anchor["trustAnchorArn"],
    )


def anchor_id(machine: Certified) -> str:
    return str(machine.anchor["trustAnchorId"])


def rolesanywhere(machine: Certified, operation: str, **params: Any) -> None:
    api = machine.account.client("rolesanywhere")
    getattr(api, operation)(**params)
    api.close()


@way("instance ended", "instance")
def instance_ended(people: Sequence[Instance]) -> None:
    (instance,) = people
    manage(instance, "end_instance", InstanceId=instance.machine.instance_id)


def manage(person: Person, operation: str, **params: Any) -> dict[str, Any]:
    """An administrator's call of the broker's own service."""
    api = person.account.client("broker")
    answer: dict[str, Any] = getattr(api, operation)(**params)
    api.close()
    return answer


@way("join token deleted", "token")
def join_token_deleted(people: Sequence[Person]) -> None:
    (person,) = people
    for token_id in person.tokens["join"].split():
        manage(person, "delete_join_token", TokenId=token_id)


@way("SCIM token deleted", "token")
def scim_token_deleted(people: Sequence[Person]) -> None:
    (person,) = people
    manage(
        person,
        "delete_scim_token",
        ProviderArn=person.account.arn("saml-provider/Corp"),
        TokenId=person.tokens["SCIM"],
    )


@way("service token deleted", "token")
def service_token_deleted(people: Sequence[Person]) -> None:
    (person,) = people
    manage(
        person,
        "delete_service_token",
        ServiceName="orders",
        TokenId=person.tokens["service"],
    )


@way("console sign-out", "SAML")
def console_signed_out(people: Sequence[Person]) -> None:
    (person,) = people
    page = person.console.get("/console/")
    answer = person.console.submit(page, "/console/sign-out")
    assert answer.status_code == 200, answer.text


@way("access portal sign-out", "SAML")
def portal_signed_out(people: Sequence[Person]) -> None:
    (person,) = people
    page = person.portal.get(person.portal_path)
    answer = person.portal.submit(page, f"{person.portal_path}/sign-out")
    assert answer.status_code == 200, answer.text


@way("`aws logout`", "SAML", needs="AWS CLI")
def cli_logged_out(people: Sequence[Person]) -> None:
    (person,) = people
    run_cli(person, "logout", "--profile", "work")


@way("`aws sso logout`", "SAML", needs="AWS CLI")
def cli_sso_logged_out(people: Sequence[Person]) -> None:
    (person,) = people
    run_cli(person, "sso", "logout", "--profile", "dev")


def run_cli(person: Person, *words: str) -> None:
    assert person.command_line is not None
    done = person.command_line.run(*words)
    assert done.returncode == 0, done.stderr


DIRECTORY_SECONDS = 45
"""How often a directory is asked about a person: 40 seconds, and a turn of 5."""

WATCH_SECONDS = 30
WATCH: Mapping[str, Any] = {"Watch": "RefreshToken", "WatchSeconds": WATCH_SECONDS}
_DIRECTORY: Mapping[str, Any] = {"needs": "slapd", "asked_seconds": DIRECTORY_SECONDS}
_SAMBA: Mapping[str, Any] = {"needs": "Samba", "asked_seconds": DIRECTORY_SECONDS}
_KEYCLOAK: Mapping[str, Any] = {
    "needs": "Keycloak",
    "options": WATCH,
    "asked_seconds": WATCH_SECONDS,
}


@way("slapd: entry deleted", "LDAP", **_DIRECTORY)
def ldap_deleted(people: Sequence[LdapPerson]) -> None:
    for person in people:
        person.directories.delete(person.name)


@way("slapd: no longer matches `Filter`", "LDAP", **_DIRECTORY)
def ldap_unmatched(people: Sequence[LdapPerson]) -> None:
    for person in people:
        person.directories.stop_matching(person.name)


@way("slapd: removed from the mapped group", "LDAP", **_DIRECTORY)
def ldap_removed(people: Sequence[LdapPerson]) -> None:
    for person in people:
        person.directories.remove_from_group(person.name)


@way("Samba: account disabled", "AD", **_SAMBA)
def ad_disabled(people: Sequence[AdPerson]) -> None:
    for person in people:
        person.directories.disable_account(person.name)


@way("Samba: removed from the mapped group", "AD", **_SAMBA)
def ad_removed(people: Sequence[AdPerson]) -> None:
    for person in people:
        person.directories.remove_account_from_group(person.name)


@way("Keycloak: user disabled", "Keycloak", **_KEYCLOAK)
def keycloak_disabled(people: Sequence[KeycloakPerson]) -> None:
    for person in people:
        person.keycloak.disable(person.id)


@way("Keycloak: user deleted", "Keycloak", **_KEYCLOAK)
def keycloak_deleted(people: Sequence[KeycloakPerson]) -> None:
    for person in people:
        person.keycloak.delete(person.id)


@way("Keycloak: user removed from the group", "Keycloak", **_KEYCLOAK)
def keycloak_removed(people: Sequence[KeycloakPerson]) -> None:
    for person in people:
        person.keycloak.remove_from_group(person.id)


@way("Keycloak: sessions ended by an administrator", "Keycloak", needs="Keycloak")
def keycloak_ended(people: Sequence[KeycloakPerson]) -> None:
    for person in people:
        person.keycloak.end_sessions(person.id)


@way("the same, with `Watch`", "Keycloak", **_KEYCLOAK)
def keycloak_ended_watched(people: Sequence[KeycloakPerson]) -> None:
    oidc.wait_for_the_next_second()  # what Keycloak issued in this one stays good
    for person in people:
        person.keycloak.end_sessions(person.id)
