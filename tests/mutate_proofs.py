# ruff: noqa: T201  # a program for the terminal
"""Mutates signed proofs a million times, and looks for one that passes.

``python -m tests.mutate_proofs [MUTANTS] [SEED]`` changes SAML responses (signed
outside, inside, both, and encrypted) and ID tokens (RSA and ECDSA) at random places
and hands each to the verifier. A mutant may only be refused in the verifier's own
way, or say exactly what the original says: white space between elements is not content.
It prints how many there were and the slowest one, and ends at the first that breaks
the rule, with the mutant's text.
"""

import argparse
import base64
import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.oidc.verify import verify_token
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.keys import parse_private_key
from tests.support import saml_check, saml_idp
from tests.support.evidence import keep
from tests.support.oidc_issuer import OidcIssuer

PIECES = [
    *(b"<!-- -->", b"<?x?>", b"<saml:Assertion>", b"</saml:Assertion>", b"&#x41;"),
    *(b"<ds:Signature>", b'xmlns:a="1"', b'ID="_a1"', b"<![CDATA[", b"]]>", b"\x00"),
    *(b"\xff", b'"', b"'", b"<", b">", b"&", b"=", b".", b"e30", b"AA"),
]
_REPORTED = 100_000

Verdict = Callable[[bytes], object]
"""What a proof says; None when it is refused."""


def saml_verdict() -> tuple[list[bytes], Verdict]:
    """Signed responses, and what the verifier makes of one."""
    pair = saml_idp.key_pair("decryption")
    keys = (parse_private_key(pair.private_pem),)
    originals = [
        base64.b64decode(saml_idp.build_response(sign=sign))
        for sign in ("assertion", "response", "both")
    ]
    originals.append(
        base64.b64decode(saml_idp.build_response(encrypt_to=pair.public_pem))
    )

    def verdict(mutant: bytes) -> object:
        try:
            proved = saml_check.verify(saml_idp.encode(mutant), decryption_keys=keys)
        except SamlRejected:
            return None
        return (
            *(proved.issuer, proved.subject, proved.subject_format, proved.recipient),
            *(proved.assertion_id, proved.attributes, proved.latest_not_on_or_after),
            *(proved.session_not_on_or_after, proved.in_response_to),
        )

    return originals, verdict


def oidc_verdict() -> tuple[list[bytes], Verdict]:
    """Signed ID tokens, and what the verifier makes of one."""
    issuer = OidcIssuer("https://idp.example")
    issuer.add_key("ec", "ES256")
    keys = parse_jwks(issuer.jwks_bytes())
    now = datetime.now(UTC)

    def verdict(mutant: bytes) -> object:
        try:
            token = verify_token(
                mutant.decode("latin-1"),
                keys=keys,
                issuer=issuer.url,
                client_ids=("client-1",),
                now=now,
                skew=timedelta(hours=1),
            )
        except OidcRejected:
            return None
        return token.claims

    return [issuer.token().encode(), issuer.token(kid="ec").encode()], verdict


def mutate(original: bytes, chance: random.Random) -> bytes:
    """One to three changes: a bit, a hole, a piece, a copy, or an element moved."""
    text = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        place, length = chance.randrange(len(text)), chance.randrange(1, 120)
        kind = chance.randrange(5)
        if kind == 0:
            text[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del text[place : place + min(length, len(text) - 1)]
        elif kind == 2:
            text[place:place] = chance.choice(PIECES)
        elif kind == 3:
            source = chance.randrange(len(text))
            text[place:place] = text[source : source + length]
        else:
            start = text.find(b"<", place)
            end = text.find(b">", start + chance.randrange(1, 900))
            target = text.find(b"<", chance.randrange(len(text)))
            if 0 <= start < end and target >= 0:
                text[target:target] = text[start : end + 1]
    return bytes(text)


def try_mutants(
    proofs: list[tuple[bytes, Verdict]],
    mutate: Callable[[bytes, random.Random], bytes],
    mutants: int,
    seed: int,
) -> tuple[int, float]:
    """How many say the same, and the CPU seconds of the slowest.

    Raises:
        AssertionError: one passes and says something else.
    """
    chance = random.Random(seed)  # mutants are not secrets
    known = [(original, verdict, verdict(original)) for original, verdict in proofs]
    assert all(said is not None for _, _, said in known), "an original is refused"
    same = 0
    slowest = 0.0
    for number in range(1, mutants + 1):
        original, verdict, said = chance.choice(known)
        mutant = mutate(original, chance)
        began = time.process_time()
        match = verdict(mutant)
        slowest = max(slowest, time.process_time() - began)
        if match is not None:
            same += 1
            assert match == said, f"passes with other content: {mutant!r}"
        if number % _REPORTED == 0:
            print(number, "so far", flush=True)
    return same, slowest


def run(
    name: str,
    proofs: list[tuple[bytes, Verdict]],
    mutate: Callable[[bytes, random.Random], bytes],
    description: str,
) -> None:
    """Try so many mutants, as the command line says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("mutants", type=int, nargs="?", default=1_000_000)
    parser.add_argument("seed", type=int, nargs="?", default=secrets.randbits(32))
    namespace = parser.parse_args()
    print("seed", namespace.seed, flush=True)
    same, slowest = try_mutants(proofs, mutate, namespace.mutants, namespace.seed)
    print(
        f"{namespace.mutants} mutants: {namespace.mutants - same} refused, {same} say the same,"
        f" none says anything else; the slowest took {slowest * 1000:.1f} ms of CPU"
    )
    refused = namespace.mutants - same
    keep(name, tried=namespace.mutants, refused=refused, milliseconds=slowest * 1000)


def main() -> None:
    """Try mutants of proofs."""
    proofs = [
        (original, verdict)
        for originals, verdict in (saml_verdict(), oidc_verdict())
        for original in originals
    ]
    run("mutate_proofs", proofs, mutate, __doc__.splitlines()[0])


if __name__ == "__main__":
    main()
