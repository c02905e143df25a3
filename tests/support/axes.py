"""What a caller can make larger, door by door: the axes of a request's cost.

An axis is a request of one size. Its sizes grow until the broker refuses one, or until
no larger one fits into what the door takes; `grow` finds the costliest on the way.
"""

import base64
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509

from broker.protocols.x509.chain import CHAIN_MAX
from tests.scenarios.installation import READER, Installation
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, REGION, Key
from tests.support.certificates import issue
from tests.support.policies import allow, policy, statement
from tests.support.roles_anywhere import sign
from tests.support.signin import BROWSER

CLOSED = 0
"""Instead of a status: the connection was closed before all of it was sent."""

_OWN_HEADERS = 4
"""Host, content type and length, and the encodings that the client accepts."""

_FORM = {"content-type": "application/x-www-form-urlencoded"}
_VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15"}
_TIME_OUT = 120


@dataclass(frozen=True)
class Request:
    """One request; with a key it is signed."""

    path: str
    body: bytes | Iterator[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    key: Key | None = None
    service: str = "iam"


@dataclass
class World:
    """Who asks, and whom."""

    installation: Installation
    narrow: Key
    """A session whose policy has the costliest pattern that fits, on the user agent."""

    @property
    def root(self) -> Key:
        return self.installation.root

    def try_out(self, request: Request) -> int:
        """The status of the answer, given when the event loop has done with it.

        Another request that was answered says so: an answer may come before the
        callback that sent it has ended.
        """
        status = self.send(request)
        assert self.send(Request("/healthz", method="GET")) == 200
        return status

    def send(self, request: Request) -> int:
        headers = {**_FORM, **request.headers}
        if request.key is not None:
            url = f"{self.installation.broker.url}{request.path}"
            unsent = AWSRequest(request.method, url, headers, request.body)
            key = request.key
            credentials = Credentials(
                key.access_key_id, key.secret_access_key, key.session_token
            )
            SigV4Auth(credentials, request.service, REGION).add_auth(unsent)
            headers = dict(unsent.headers.items())
        port = self.installation.broker.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIME_OUT)
        try:
            connection.request(request.method, request.path, request.body, headers)
            answer = connection.getresponse()
            answer.read()
        except (BrokenPipeError, ConnectionResetError):
            return CLOSED
        else:
            return answer.status
        finally:
            connection.close()


@dataclass(frozen=True)
class Axis:
    """A request of a size; ``largest`` is the last that is tried."""

    name: str
    make: Callable[[World, int], Request]
    largest: int
    smallest: int = 1


def grow(axis: Axis) -> Iterator[int]:
    """The sizes, sixteen times as large each; the last is the largest there is."""
    size = axis.smallest
    while size < axis.largest:
        yield size
        size *= 16
    yield axis.largest


def narrow_session(installation: Installation) -> Key:
    """A session that whoever makes it burdens with a policy of its own."""
    patterns = ["*" + "a?" * 120 + f"b{n}*" for n in range(7)]
    condition = {"StringLike": {"aws:UserAgent": patterns}}
    answer = installation.web_identity(Policy=allow("*", Condition=condition))
    return Key.of(answer["Credentials"])


def _query(action: str, *pairs: tuple[str, str], service: str = "iam") -> bytes:
    head = [("Action", action), ("Version", _VERSIONS[service])]
    return urlencode([*head, *pairs]).encode()


def _members(name: str, values: list[str]) -> list[tuple[str, str]]:
    return [(f"{name}.member.{n}", value) for n, value in enumerate(values, 1)]


def _iam(
    name: str, action: str, largest: int, *text: str, **made: Callable[[int], Any]
) -> Axis:
    """A signed IAM call: fixed ``text`` as ``Name=value``, one parameter made."""
    fixed = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in text]

    def make(world: World, size: int) -> Request:
        pairs = list(fixed)
        for parameter, of_size in made.items():
            value = of_size(size)
            if isinstance(value, list):
                pairs += _members(parameter, value)
            else:
                pairs.append((parameter, value))
        return Request("/", _query(action, *pairs), key=world.root)

    return Axis(f"{action}: {name}", make, largest)


_EXCHANGE = _query(
    "AssumeRoleWithWebIdentity",
    ("RoleArn", READER),
    ("RoleSessionName", "abc"),
    service="sts",
)


def _document(action: object, resource: object = "*", **more: object) -> str:
    return allow(action, resource, **more)


def _within(document: Callable[[int], str]) -> Callable[[int], str]:
    """Cut to what the model's 131,072 characters take, so that it is read."""

    def cut(size: int) -> str:
        text = document(size)
        return text if len(text) <= 131_072 else text[:131_072]

    return cut


_DOCUMENTS: Mapping[str, tuple[Callable[[int], str], int]] = {
    "statements": (lambda n: policy(*[statement("a:b")] * n), 2_000),
    "actions": (lambda n: _document([f"a:?b{i}*" for i in range(n)]), 9_000),
    "resources": (lambda n: _document("a:b", ["arn:aws:s3:::?x"] * n), 6_500),
    "variables": (lambda n: _document("a:b", [f"arn:aws:s3:::{'${a:b}' * n}"]), 20_000),
    "conditions": (
        lambda n: _document(
            "a:b", Condition={"StringLike": {f"aws:k{i}": "?*" for i in range(n)}}
        ),
        6_000,
    ),
    "nesting": (lambda n: "[" * n, 131_000),
    "white space": (lambda n: _document("a:b") + " " * n, 130_000),
}


def _metadata(inside: Callable[[int], str]) -> Callable[[int], str]:
    text = saml_idp.metadata_xml()
    start = text.index(">", text.index("EntityDescriptor")) + 1
    return lambda size: text[:start] + inside(size) + text[start:]


_METADATA: Mapping[str, tuple[Callable[[int], str], int]] = {
    "text": (lambda n: f"<a>{'x' * n}</a>", 900_000),
    "elements": (lambda n: "<a/>" * n, 90_000),
    "comments": (lambda n: "<!--a-->" * n, 65_000),
    "namespaces": (lambda n: "<a xmlns:a='urn:a'/>" * n, 25_000),
    "attributes": (
        lambda n: ("<a " + " ".join(f"b{i}='c'" for i in range(250)) + "/>") * n,
        250,
    ),
}


def _simulation(name: str, largest: int, **more: Callable[[int], Any]) -> Axis:
    params: dict[str, Callable[[int], Any]] = {
        "PolicyInputList": lambda _: [_document("s3:*", "arn:aws:s3:::?b*")],
        "ActionNames": lambda _: ["s3:GetObject"],
        **more,
    }
    return _iam(name, "SimulateCustomPolicy", largest, "MaxItems=1000", **params)


def _context(name: str, values: Callable[[int], list[str]], largest: int) -> Axis:
    patterns = [
        _document(
            "s3:*", Condition={"StringLike": {"aws:UserAgent": [f"*{'a?' * 200}b*"]}}
        )
    ]

    def make(world: World, size: int) -> Request:
        pairs = [
            *_members("PolicyInputList", patterns * 200),
            *_members("ActionNames", ["s3:GetObject"]),
            ("ContextEntries.member.1.ContextKeyName", "aws:UserAgent"),
            ("ContextEntries.member.1.ContextKeyType", "stringList"),
            *_members("ContextEntries.member.1.ContextKeyValues", values(size)),
        ]
        return Request("/", _query("SimulateCustomPolicy", *pairs), key=world.root)

    return Axis(f"SimulateCustomPolicy: {name}", make, largest)


def _claims(world: World, size: int) -> Request:
    claims = {f"c{number}": ["d"] for number in range(size)}
    token = world.installation.issuer.issuer.token(claims=claims)
    return Request("/", _EXCHANGE + b"&WebIdentityToken=" + token.encode())


_RESPONSE = (
    b"<samlp:Response xmlns:samlp='urn:oasis:names:tc:SAML:2.0:protocol'"
    b" xmlns:saml='urn:oasis:names:tc:SAML:2.0:assertion' ID='_a' Version='2.0'"
    b" IssueInstant='2026-01-01T00:00:00Z'>%s</samlp:Response>"
)
_SIGNATURE = b"<ds:Signature xmlns:ds='http://www.w3.org/2000/09/xmldsig#'/>"


def _saml(inside: Callable[[int], bytes]) -> "Grown":
    def make(_world: World, size: int) -> Request:
        response = base64.b64encode(_RESPONSE % inside(size))
        return Request("/saml", urlencode({"SAMLResponse": response}).encode())

    return make


def _header(name: str, header: str, *, narrow: bool = False) -> Axis:
    def make(world: World, size: int) -> Request:
        return Request(
            "/",
            _query("ListUsers"),
            {header: "a" * size},
            key=world.narrow if narrow else world.root,
        )

    return Axis(f"ListUsers: {name}", make, 60_000)


def _chain(world: World, size: int, *, of_authority: bool) -> Request:
    """With a chain in which each certificate has many names, of a stranger or not."""
    root = issue("Corp Root", is_authority=True)
    api = world.installation.broker.client("rolesanywhere", world.root)
    bundle = {"x509CertificateData": root.pem}
    anchor = api.create_trust_anchor(
        name="corp",
        enabled=True,
        source={"sourceType": "CERTIFICATE_BUNDLE", "sourceData": bundle},
    )["trustAnchor"]["trustAnchorArn"]
    names = [x509.DNSName(f"x{number}.io") for number in range(size)]
    limits = [(x509.NameConstraints(None, names), False)]
    top = root if of_authority else issue("Corp Root", is_authority=True)
    chain = [top]
    for number in range(CHAIN_MAX):
        chain.insert(0, chain[0].authority(f"L{number}", extensions=limits))
    own = [x509.DNSName(f"a{number}.io") for number in range(size)]
    leaf = chain[0].issue(
        "web-1", extensions=[(x509.SubjectAlternativeName(own), False)]
    )
    profile = anchor.replace("trust-anchor", "profile")
    body = json.dumps(
        {"trustAnchorArn": anchor, "profileArn": profile, "roleArn": READER}
    ).encode()
    url = f"{world.installation.broker.url}/sessions"
    signed = sign(url, body, leaf, chain=chain[:-1])
    return Request("/sessions", body, {k.lower(): v for k, v in signed.items()})


def _certificates(name: str, largest: int, *, of_authority: bool) -> Axis:
    make = partial(_chain, of_authority=of_authority)
    return Axis(f"CreateSession: {name}", make, largest)


Grown = Callable[[World, int], Request]


def _posted(body: Callable[[int], bytes], path: str = "/") -> Grown:
    return lambda _, n: Request(path, body(n))


def _asked(path: Callable[[int], str]) -> Grown:
    return lambda _, n: Request(path(n), method="GET")


def _headed(headers: Callable[[int], Mapping[str, str]], path: str = "/") -> Grown:
    return lambda _, n: Request(path, _query("ListUsers"), headers(n))


def _lists(name: bytes) -> Callable[[int], bytes]:
    return lambda n: b"&".join([_EXCHANGE, *(name % i for i in range(1, n + 1))])


def _cookies(world: World, size: int) -> Request:
    """With none of the many that a sign-in which waits looks for."""
    broker = world.installation.broker
    page = httpx.get(f"{broker.url}/signin/{ACCOUNT}", headers=BROWSER)
    start = f"/signin/{ACCOUNT}/with/"
    name = page.text.partition(start)[2].partition('"')[0]
    begun = httpx.get(f"{broker.url}{start}{name}", headers=BROWSER)
    query = httpx.URL(begun.headers["location"]).params
    path = f"/signin/oidc/callback?code=a&state={query['state']}"
    return Request(path, headers={"cookie": ";" * size}, method="GET")


_CLAIMED = (
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/iam/"
    "aws4_request, SignedHeaders=%s, Signature=" + "0" * 64
)
_TOLD = b'{"sessionId":"ASIAIOSFODNN7EXAMPLE","sessionKey":"a","sessionToken":"'

STRANGERS: Mapping[str, Grown] = {
    "bytes of the headers": _headed(lambda n: {"user-agent": "a/b " * (n // 4)}),
    "headers": _headed(lambda n: {f"h{i}": "a" * 300 for i in range(n - _OWN_HEADERS)}),
    "chunks of a body": lambda _, n: Request("/", iter([b"a"] * n)),
    "parameters": _posted(lambda n: b"&".join(b"a%d=" % i for i in range(n))),
    "members of a list": _posted(_lists(b"PolicyArns.member.%d.arn=a")),
    "dots in the names of 2,000 parameters": _posted(
        lambda n: _lists(b"PolicyArns.member.%d" + b".a" * (n - 2) + b"=a")(2000)
    ),
    "digits of a number": _posted(
        lambda n: _EXCHANGE + b"&DurationSeconds=" + b"9" * n
    ),
    "fields of a form": _posted(
        lambda n: b"&".join(b"%d=a" % i for i in range(n)), f"/signin/{ACCOUNT}"
    ),
    "cookies": _cookies,
    "slashes of a path that is passed on": _asked(
        lambda n: "/decisions/forward" + "/a" * n
    ),
    "header names that are said to be signed": _headed(
        lambda n: {"authorization": _CLAIMED % ";".join(["h"] * n)}
    ),
    "characters of a session token": _headed(
        lambda n: {
            "authorization": _CLAIMED % "host",
            "x-amz-date": "20260101T000000Z",
            "x-amz-security-token": "A" * n,
        }
    ),
    "characters of a web identity token": _posted(
        lambda n: _EXCHANGE + b"&WebIdentityToken=" + b"a" * n
    ),
    "claims of a token": _claims,
    "objects in an assertion": _saml(lambda n: b"<a/>" * n),
    "namespaces in an assertion": _saml(lambda n: b"<b:a xmlns:b='u'/>" * n),
    "attributes in an assertion": _saml(
        lambda n: b"<a %s/>" % b" ".join(b"b%d='c'" % i for i in range(n))
    ),
    "signatures in an assertion": _saml(lambda n: _SIGNATURE * n),
    "nesting in an assertion": _saml(lambda n: b"<a>" * n + b"</a>" * n),
    "names in a stranger's certificates": lambda world, n: _chain(
        world, n, of_authority=False
    ),
    "a session for a sign-in token": _posted(
        lambda n: b"Action=getSigninToken&Session=" + _TOLD + b"A" * n + b'"}',
        "/federation",
    ),
    "digits of a user code": _asked(lambda n: "/portal/device?user_code=" + "1" * n),
}
"""What anybody can make larger before a proof, as `docs/bounds.md` names it."""

AXES = (
    _certificates("names of a stranger's chain", 500, of_authority=False),
    _certificates("names of an authority's chain", 500, of_authority=True),
    _certificates("names that are compared", 100, of_authority=True),
    # Signed calls.
    _header("a user agent", "user-agent"),
    _header("a user agent in a session's condition", "user-agent", narrow=True),
    _header("a referer", "referer"),
    *(
        _iam(name, "CreatePolicy", largest, "PolicyName=p", PolicyDocument=_within(of))
        for name, (of, largest) in _DOCUMENTS.items()
    ),
    *(
        _iam(
            name,
            "CreateSAMLProvider",
            largest,
            "Name=large",
            SAMLMetadataDocument=_metadata(of),
        )
        for name, (of, largest) in _METADATA.items()
    ),
    _iam("tags", "UntagUser", 2_900, "UserName=u", TagKeys=lambda n: ["a" * 100] * n),
    _iam(
        "a chain",
        "UploadServerCertificate",
        900_000,
        "ServerCertificateName=s",
        "CertificateBody=a",
        "PrivateKey=b",
        CertificateChain=lambda n: "c" * n,
    ),
    _iam(
        "a key",
        "UploadSSHPublicKey",
        16_000,
        "UserName=u",
        SSHPublicKeyBody=lambda n: "ssh-rsa " + "A" * n,
    ),
    Axis(
        "DecodeAuthorizationMessage: a message",
        lambda world, n: Request(
            "/",
            _query(
                "DecodeAuthorizationMessage", ("EncodedMessage", "a" * n), service="sts"
            ),
            key=world.root,
            service="sts",
        ),
        900_000,
    ),
    _simulation("actions", 1_000, ActionNames=lambda n: [f"s3:G{i}" for i in range(n)]),
    _simulation(
        "resources",
        1_000,
        ResourceArns=lambda n: [f"arn:aws:s3:::b{i}" for i in range(n)],
    ),
    _simulation(
        "statements that match",
        300,
        PolicyInputList=lambda n: [policy(*[statement("s3:*", "*")] * n)],
        ResourceArns=lambda _: [f"arn:aws:s3:::b{i}" for i in range(50)],
    ),
    _simulation(
        "policies",
        1_000,
        PolicyInputList=lambda n: [_document("s3:*", "arn:aws:s3:::?b*")] * n,
    ),
    _simulation(
        "patterns of actions",
        9_000,
        PolicyInputList=lambda n: [_document([f"s3:?{i}*" for i in range(n)])],
        ActionNames=lambda _: [f"s3:G{i}" for i in range(100)],
    ),
    _context("values", lambda n: ["a"] * n, 2_700),
    _context("a value", lambda n: ["a" * n], 900_000),
)
