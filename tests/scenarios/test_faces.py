"""The same decisions through every face, on PostgreSQL and Redis with two workers."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.client import AsgiMiddleware, DecisionClient
from tests.support import versitygw
from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.faces import ROUTES, Faces, Who, application, serve, signed
from tests.support.machine_agent import broker_client
from tests.support.storage import broker_on
from tests.support.versitygw import DEFINITION, Gateway

OTHER = "444455556666"
DATA: Mapping[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "authorization" / "faces.yaml").read_text()
)
_SECONDS = 30
_AGAIN = 8
"""Questions after a first refusal: both workers are among those that answer."""


@dataclass
class World:
    """A broker with everything that the list names."""

    broker: RunningBroker
    root: Key
    iam: Any
    faces: Faces
    people: Mapping[str, Who]


def document(statements: list[dict[str, Any]], **names: str) -> str:
    """A policy of statements in the list's short form."""
    whole = []
    for statement in statements:
        entry = {"Effect": "Allow", "Resource": "*", **statement}
        if entry["Resource"] != "*":
            entry["Resource"] = f"arn:aws:s3:::{entry['Resource']}"
        for element in ("Principal", "NotPrincipal"):
            if isinstance(entry.get(element), list):
                named = [names.get(each, each) for each in entry[element]]
                entry[element] = {"AWS": named}
        whole.append(entry)
    return json.dumps({"Version": "2012-10-17", "Statement": whole})


def make_user(iam: Any, name: str, described: Mapping[str, Any]) -> Key:
    tags = [{"Key": k, "Value": v} for k, v in described.get("tags", {}).items()]
    boundary = make_boundary(iam, f"{name}-limit", described)
    iam.create_user(UserName=name, Tags=tags, **boundary)
    if "identity" in described:
        text = document(described["identity"])
        iam.put_user_policy(UserName=name, PolicyName="Own", PolicyDocument=text)
    return Key.of(iam.create_access_key(UserName=name)["AccessKey"])


def make_boundary(iam: Any, name: str, described: Mapping[str, Any]) -> dict[str, str]:
    if "boundary" not in described:
        return {}
    text = document(described["boundary"])
    made = iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]
    return {"PermissionsBoundary": made["Arn"]}


def assume(broker: Any, admin: Key, name: str, role: str, text: str) -> Key:
    more = {"Policy": text} if text else {}
    made = broker.client("sts", admin).assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName=name, **more
    )
    return Key.of(made["Credentials"])


def furnish(broker: Any, root: Key) -> dict[str, Who]:
    """Users, roles, sessions and guests."""
    people: dict[str, Who] = {}
    iam = broker.client("iam", root)
    for name, described in DATA["users"].items():
        key = make_user(iam, name, described)
        people[name] = Who(key, user=name)
    admin = make_user(iam, "admin", {"identity": [{"Action": "*"}]})
    people["admin"] = Who(admin, user="admin")
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sts:AssumeRole",
        },
    }
    for name, described in DATA["roles"].items():
        boundary = make_boundary(iam, f"{name}-limit", described)
        iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), **boundary
        )
        if "identity" in described:
            text = document(described["identity"])
            iam.put_role_policy(RoleName=name, PolicyName="Own", PolicyDocument=text)
    for name, described in DATA["sessions"].items():
        text = document(described["policy"]) if "policy" in described else ""
        people[name] = Who(assume(broker, admin, name, described["role"], text))
    people["root"] = Who(root)
    for name in ("maker", "bounded-maker"):
        sts = broker.client("sts", people[name].key)
        made = sts.get_federation_token(
            Name=f"{name}.token", Policy=document([{"Action": "s3:*"}])
        )
        people[f"{name}'s token"] = Who(Key.of(made["Credentials"]))
    made = broker.client("sts", people["maker"].key).get_session_token()
    people["maker's session"] = Who(Key.of(made["Credentials"]))
    other_root = broker.create_account(OTHER)
    theirs = broker.client("iam", other_root)
    for name, described in DATA["guests"].items():
        key = make_user(theirs, name, described)
        people[name] = Who(key, is_guest=True)
        made = broker.client("sts", key).get_session_token()
        people[f"{name}'s session"] = Who(Key.of(made["Credentials"]), is_guest=True)
    return people


def put_policies(api: Any, people: Iterable[str]) -> None:
    """The policies of buckets."""
    names = {f"@{name}": f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in people}
    names |= {f"@role/{n}": f"arn:aws:iam::{ACCOUNT}:role/{n}" for n in DATA["roles"]}
    names |= {
        f"@{name}": f"arn:aws:sts::{ACCOUNT}:assumed-role/{item['role']}/{name}"
        for name, item in DATA["sessions"].items()
    }
    names |= {
        f"@{name}'s token": f"arn:aws:sts::{ACCOUNT}:federated-user/{name}.token"
        for name in ("maker", "bounded-maker")
    }
    names["@guest"] = f"arn:aws:iam::{OTHER}:user/guest"
    buckets = dict(DATA["resources"])
    for number, entry in enumerate(DATA["denies"]):
        buckets[f"denied-{number}"] = [
            {"Principal": [ACCOUNT, OTHER], "Action": "s3:*"},
            {"Effect": "Deny", "Action": "s3:GetObject", **entry["element"]},
        ]
    for bucket, statements in buckets.items():
        api.put_resource_policy(
            ResourceArn=f"arn:aws:s3:::{bucket}",
            PolicyDocument=document(statements, **names),
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("broker")
    options = {"workers": 2, "options": ("--private-socket", str(folder / "p.sock"))}
    with broker_on("redis+postgresql", folder, **options) as broker:
        root = broker.create_account()
        iam, api = broker.client("iam", root), broker_client(broker, root)
        definition = {**DEFINITION, "Hosts": ["store.example.com"], "Routes": ROUTES}
        api.put_service(ServiceName="s3", Definition=json.dumps(definition))
        people = furnish(broker, root)
        put_policies(api, people)
        controls = {
            f"{kind.capitalize()}ControlPolicies": [
                {"PolicyName": f"P{n}", "PolicyDocument": json.loads(document([item]))}
                for n, item in enumerate(statements)
            ]
            for kind, statements in DATA["controls"].items()
        }
        template = folder / "controls.yaml"
        template.write_text(json.dumps({"Accounts": {ACCOUNT: {"Broker": controls}}}))
        broker.command("apply", str(template))
        may_ask = {"Action": ["broker:Authorize", "broker:DeriveSigningKey"]}
        gateway = Gateway(make_user(iam, "gateway", {"identity": [may_ask]}))
        token = api.create_service_token(ServiceName="s3")["Token"]
        faces = Faces(broker.url, token, folder / "p.sock", gateway)
        with closing(faces):
            yield World(broker, root, iam, faces, people)


def test_every_face_gives_the_same_decision(world: World) -> None:
    asked = 0
    for case in DATA["cases"]:
        names = [case["who"]]
        if names[0] in DATA["guests"]:
            names.append(f"{names[0]}'s session")
        for name in names:
            for face, ask in world.faces.all().items():
                answer = ask(world.people[name], case["do"], case["object"])
                if answer is None:
                    continue
                assert answer is case["expect"], (face, name, case)
                asked += 1
    assert asked > 250


def test_a_deny_reaches_every_kind_of_principal_at_every_face(world: World) -> None:
    asked = 0
    for number, entry in enumerate(DATA["denies"]):
        denied = entry.get("denied") or set(DATA["deniable"]) - set(entry["spared"])
        for name in DATA["deniable"]:
            for face, ask in world.faces.all().items():
                for action in ("GetObject", "PutObject"):  # only the first is denied
                    answer = ask(world.people[name], action, f"denied-{number}/a")
                    if answer is None:
                        continue
                    expected = action == "PutObject" or name not in denied
                    assert answer is expected, (face, name, entry)
                    asked += 1
    assert asked > 1200


@pytest.mark.parametrize(
    ("key", "denied", "other"),
    [
        ("s3:x-amz-acl", "public-read", "private"),
        ("S3:X-Amz-Acl", "public-read", "private"),
        ("s3:x-amz-grant-read", "all", "few"),
    ],
)
def test_a_deny_on_a_key_that_is_sent_counts_declared_or_not(
    world: World, key: str, denied: str, other: str
) -> None:
    keyed, faces = world.people["keyed"], world.faces
    for value, expected in ((denied, False), (other, True)):
        context = {key: [value]}
        asked = [(ask, context) for ask in (faces.told, faces.authzen, faces.versitygw)]
        if key.lower() == "s3:x-amz-acl":  # MinIO's other headers are its clients' own
            asked.append((faces.minio, {key[3:]: [value]}))
        for ask, told in asked:
            answer = ask(keyed, "PutObject", "a/b", told)
            assert answer is expected, (ask.__name__, value)


Ask = Callable[[], bool | None]


def require_refused(asks: Mapping[str, Ask]) -> None:
    """Each face says no after a while, and stays so."""
    began = time.monotonic()
    waiting = dict(asks)
    while waiting:
        waiting = {name: ask for name, ask in waiting.items() if ask()}
        assert time.monotonic() < began + _SECONDS, waiting
    time.sleep(max(0.0, began + 1 - time.monotonic()))  # what a worker may be behind
    for name, ask in asks.items():
        assert not any(ask() for _ in range(_AGAIN)), name


@contextmanager
def asking(
    world: World, who: Who, action: str = "GetObject", path: str = "reports/a"
) -> Iterator[dict[str, Ask]]:
    """The question at every face that says yes to it, and the key that is derived."""
    asks: dict[str, Ask] = {
        name: partial(ask, who, action, path) for name, ask in world.faces.all().items()
    }
    token = {"sessionToken": who.key.session_token}
    wanted = {
        "accessKeyId": who.key.access_key_id,
        **(token if who.key.session_token else {}),
        "date": world.faces.gateway.now().strftime("%Y%m%d"),
        "region": "us-east-1",
        "service": "s3",
    }

    def derive() -> bool:
        try:
            return bool(world.faces.private("derive-signing-key", wanted))
        except versitygw.Refused:
            return False

    asks["versitygw, keys"] = derive
    with closing(DecisionClient(world.broker.url, world.faces.token)) as held:
        middleware = AsgiMiddleware(application, held)
        request = signed(who, action, path)
        asks["middleware that holds"] = lambda: serve(middleware, request) == 204
        yield {name: ask for name, ask in asks.items() if ask()}


def test_a_revoked_session_is_refused_at_every_face(world: World) -> None:
    admin = world.people["admin"].key
    key = assume(world.broker, admin, "leaver", "Clerk", "")
    with asking(world, Who(key)) as asks:
        assert len(asks) == len(
            world.faces.all()
        )  # two more, without the stores' hooks
        world.broker.command("sessions", "revoke", key.access_key_id)
        require_refused(asks)


def test_a_deactivated_key_is_refused_at_every_face(world: World) -> None:
    key = make_user(world.iam, "suspended", {"identity": [{"Action": "s3:*"}]})
    with asking(world, Who(key)) as asks:  # the stores' hooks know no keys
        assert len(asks) == len(world.faces.all())
        world.iam.update_access_key(
            UserName="suspended", AccessKeyId=key.access_key_id, Status="Inactive"
        )
        require_refused(asks)


def test_a_changed_policy_counts_at_every_face(world: World) -> None:
    key = make_user(world.iam, "mover", {"identity": [{"Action": "s3:*"}]})
    with asking(world, Who(key, user="mover")) as asks:
        assert asks.pop("versitygw, keys")  # say who signs, not what they may
        assert len(asks) == len(world.faces.all()) + 1
        world.iam.delete_user_policy(UserName="mover", PolicyName="Own")
        require_refused(asks)


def test_a_deleted_user_is_refused_at_every_face(world: World) -> None:
    key = make_user(world.iam, "gone", {"identity": [{"Action": "s3:*"}]})
    with asking(world, Who(key, user="gone")) as asks:
        assert len(asks) == len(world.faces.all()) + 2
        world.iam.delete_user_policy(UserName="gone", PolicyName="Own")
        world.iam.delete_access_key(UserName="gone", AccessKeyId=key.access_key_id)
        world.iam.delete_user(UserName="gone")
        require_refused(asks)


def test_a_clients_own_headers_tell_no_face_anything(world: World) -> None:
    """What a client sends in the name of a proxy, a service or a store."""
    forged = {
        "X-Original-Method": "GET",
        "X-Original-URI": "/reports/a",
        "X-Broker-Principal": f"arn:aws:iam::{ACCOUNT}:root",
        "X-Auth-Token": world.faces.token,
    }
    reader = world.people["reader"]
    request = signed(reader, "PutObject", "reports/a")
    assert world.faces.ask_forward(request.forwarded()) == 403
    assert world.faces.ask_forward({**request.forwarded(), **forged}) != 200
    good = signed(reader, "GetObject", "reports/a")
    assert world.faces.ask_forward(good.forwarded()) == 200
    for name in ("X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host"):
        changed = {**good.forwarded(), name: "/reports/b" if "Uri" in name else "PUT"}
        assert world.faces.ask_forward(changed) in {401, 403}
    assert world.faces.ask_forward({**good.forwarded(), **forged}) != 200
    # A service token of the client's making is one proof too many for the others.
    two = {
        "X-Broker-Service-Token": "x",
        "Authorization": f"Bearer {world.faces.token}",
    }
    for path in (
        "/access/v1/evaluation",
        "/v1/data/ceph/authz",
        "/v1/data/minio/authz",
    ):
        assert world.faces.status(path, two) == 401


def test_a_token_of_another_service_asks_for_nothing_here(world: World) -> None:
    api = broker_client(world.broker, world.root)
    api.put_service(ServiceName="orders", Definition='{"Hosts": ["a.example.com"]}')
    token = api.create_service_token(ServiceName="orders")["Token"]
    gateway = Gateway(world.people["writer"].key)
    other = Faces(world.broker.url, token, world.faces.socket, gateway)
    for name, ask in other.all().items():
        try:
            answer = ask(world.people["writer"], "GetObject", "reports/a")
        except AssertionError:  # not even an answer
            continue
        assert not answer, name
    other.close()
