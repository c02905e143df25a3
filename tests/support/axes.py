"""What a caller can make larger, door by door: the axes of a request's cost.

An axis is a request of one size. Its sizes grow until the broker refuses one, or until
no larger one fits into what the door takes; `grow` finds the costliest on the way.
"""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509

from broker.protocols.x509 import CHAIN_MAX
from tests.scenarios.installation import READER, SAML_PROVIDER, Installation
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, REGION, Key
from tests.support.certificates import issue
from tests.support.policies import allow, policy, statement
from tests.support.roles_anywhere import sign
from tests.support.saml_idp import aws_attributes

BODY = 990_000
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15"}
_TIME_OUT = 120


@dataclass(frozen=True)
class Request:
    """One request; with a key it is signed."""

    path: str
    body: bytes = b""
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
        status = self._send(request)
        assert self._send(Request("/healthz", method="GET")) == 200
        return status

    def _send(self, request: Request) -> int:
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
            return 413  # refused before all of it was sent
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
    name: str, action: str, largest: int, *given: str, **made: Callable[[int], Any]
) -> Axis:
    """A signed IAM call: fixed ``given`` as ``Name=value``, one parameter made."""
    fixed = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in given]

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


def _unsigned(name: str, body: Callable[[int], bytes], largest: int = BODY) -> Axis:
    return Axis(f"unsigned: {name}", lambda _, n: Request("/", body(n)), largest)


def _page(name: str, path: str, body: Callable[[int], bytes], largest: int) -> Axis:
    return Axis(f"{path}: {name}", lambda _, n: Request(path, body(n)), largest)


_EXCHANGE = _query(
    "AssumeRoleWithWebIdentity",
    ("RoleArn", READER),
    ("RoleSessionName", "abc"),
    service="sts",
)
_SAML_EXCHANGE = _query(
    "AssumeRoleWithSAML",
    ("RoleArn", READER),
    ("PrincipalArn", SAML_PROVIDER),
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
    given: dict[str, Callable[[int], Any]] = {
        "PolicyInputList": lambda _: [_document("s3:*", "arn:aws:s3:::?b*")],
        "ActionNames": lambda _: ["s3:GetObject"],
        **more,
    }
    return _iam(name, "SimulateCustomPolicy", largest, "MaxItems=1000", **given)


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


def _assertion(
    name: str, attributes: Callable[[int], Mapping[str, tuple[str, ...]]], largest: int
) -> Axis:
    def make(world: World, size: int) -> Request:
        role = f"{READER},{SAML_PROVIDER}"
        given = {**aws_attributes(role=[role]), **attributes(size)}
        response = world.installation.assertion(READER, attributes=given)
        form = urlencode({"SAMLAssertion": response}).encode()
        return Request("/", _SAML_EXCHANGE + b"&" + form)

    return Axis(f"assertion: {name}", make, largest)


def _token(name: str, claims: Callable[[int], Mapping[str, object]], size: int) -> Axis:
    def make(world: World, n: int) -> Request:
        token = world.installation.issuer.issuer.token(claims=claims(n))
        form = urlencode({"WebIdentityToken": token}).encode()
        return Request("/", _EXCHANGE + b"&" + form)

    return Axis(f"token: {name}", make, size)


def _header(name: str, header: str, *, narrow: bool = False) -> Axis:
    def make(world: World, size: int) -> Request:
        return Request(
            "/",
            _query("ListUsers"),
            {header: "a" * size},
            key=world.narrow if narrow else world.root,
        )

    return Axis(f"ListUsers: {name}", make, 60_000)


def _certificates(name: str, largest: int, *, of_authority: bool) -> Axis:
    """A chain in which each certificate has many names, of a stranger or not."""

    def make(world: World, size: int) -> Request:
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

    return Axis(f"CreateSession: {name}", make, largest)


_MAIL = "urn:oid:0.9.2342.19200300.100.1.3"

AXES = (
    # What comes before any proof.
    _unsigned("escapes", lambda n: b"A=" + b"%41" * (n // 3)),
    _unsigned("text", lambda n: b"A=" + b"a" * n),
    _unsigned("text beyond ASCII", lambda n: b"A=" + "é".encode() * (n // 2)),
    _unsigned("ampersands", lambda n: b"&" * n),
    _unsigned("parameters", lambda n: b"&".join(b"a%d=" % i for i in range(n)), 2_999),
    _unsigned(
        "members",
        lambda n: b"&".join(
            [_EXCHANGE, *(b"PolicyArns.member.%d.arn=a" % i for i in range(1, n + 1))]
        ),
        2_990,
    ),
    _unsigned(
        "long members",
        lambda n: b"&".join(
            [
                _EXCHANGE,
                *(
                    b"PolicyArns.member.%d.arn=%s" % (i, b"\x01" * 900)
                    for i in range(1, n + 1)
                ),
            ]
        ),
        2_990,
    ),
    _unsigned("a number", lambda n: _EXCHANGE + b"&DurationSeconds=" + b"9" * n),
    _unsigned("a token", lambda n: _EXCHANGE + b"&WebIdentityToken=" + b"a" * n),
    _unsigned("an assertion", lambda n: _SAML_EXCHANGE + b"&SAMLAssertion=" + b"a" * n),
    Axis(
        "unsigned: a query",
        lambda _, n: Request("/?" + "a=b&" * n, method="GET"),
        4_000,
    ),
    # Pages and their like.
    _page("a response", "/saml", lambda n: b"SAMLResponse=" + b"a" * n, 400_000),
    _page("fields", "/saml", lambda n: b"a=b&" * n, 8_000),
    _page(
        "a session",
        "/federation",
        lambda n: b"Action=getSigninToken&Session=" + b"[" * n,
        32_000,
    ),
    Axis(
        "/v1/token: JSON",
        lambda _, n: Request(
            "/v1/token", b"[" * n, {"content-type": "application/json"}
        ),
        1_000_000,
    ),
    _page(
        "a logout token",
        f"/signin/{ACCOUNT}/with/Corp/backchannel-logout",
        lambda n: b"logout_token=" + b"a." * n,
        16_000,
    ),
    _page(
        "a password", f"/signin/{ACCOUNT}", lambda n: b"password=" + b"a" * n, 32_000
    ),
    # Proofs.
    _assertion("values", lambda n: {_MAIL: ("a",) * n}, 1_500),
    _assertion("attributes", lambda n: {f"a{i}": ("b",) for i in range(n)}, 600),
    _assertion("a value", lambda n: {_MAIL: ("a" * n,)}, 60_000),
    _token("a list", lambda n: {"amr": ["a"] * n}, 3_000),
    _token("claims", lambda n: {f"c{i}": "d" for i in range(n)}, 1_000),
    _token("nesting", lambda n: {"c": json.loads("[" * n + "]" * n)}, 900),
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
                "DecodeAuthorizationMessage",
                ("EncodedMessage", "a" * n),
                service="sts",
            ),
            key=world.root,
            service="sts",
        ),
        BODY,
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
