"""The operator's own settings of an OIDC provider.

They are set under ``Broker:`` in a template or with ``broker providers set``; no AWS
parameter sets them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from broker.federation.group_roles import GroupRoles
from broker.federation.scim_options import ScimOptions
from broker.protocols.oidc.algorithms import ALGORITHM_NAMES
from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.oidc.verify import VerifyOptions

_TRUTHS = {"true": True, "false": False}
PROFILES = ("strict", "aws")
CLAIM_KEYS_MAX = 32
_NAME_CLAIMS_MAX = 8
_CLAIM_NAME = re.compile(r"(?:https?://)?[A-Za-z0-9_.\-/]{1,128}")
_ALWAYS_KEYS = frozenset({"aud", "sub", "amr", "email", "oaud"})
_PRIVATE = frozenset({"d", "k"})
"""The secret members of a JWK."""


@dataclass(frozen=True, slots=True)
class OidcProviderOptions:
    """``OneTimeUse``, ``StaticJwks``, ``Algorithms`` and ``Profile``.

    ``static_jwks`` is the JSON text of a key set that is used instead of fetching one,
    empty when there is none. With ``ClientId`` the sign-in page offers the provider;
    ``ClientSecret`` is stored sealed, ``Scopes`` are requested. ``GroupRoles`` and
    ``GroupAttribute`` are read by `GroupRoles`. ``ClaimKeys`` are claims that become
    condition keys besides those of every issuer and those that AWS documents for this
    one. ``NameClaims`` are claims, best first, that identify one person each at this
    provider; sessions are named after them. ``ScimSubject`` and what goes with it are
    read by `ScimOptions`.
    """

    one_time_use: bool = False
    static_jwks: str = ""
    algorithms: frozenset[str] = ALGORITHM_NAMES
    profile: str = "strict"
    client_id: str = ""
    sealed_client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid",)
    group_roles: GroupRoles | None = None
    claim_keys: tuple[str, ...] = ()
    name_claims: tuple[str, ...] = ()
    scim: ScimOptions | None = None

    @property
    def verify_options(self) -> VerifyOptions:
        """The options that the verifier needs."""
        return _verify_options(self.algorithms, self.profile, self.one_time_use)


@lru_cache(64)
def _verify_options(
    algorithms: frozenset[str],
    profile: str,
    one_time_use: bool,  # noqa: FBT001  # the cache's key
) -> VerifyOptions:
    return VerifyOptions(algorithms, profile == "aws", one_time_use)


_DEFAULT = OidcProviderOptions()


def parse_oidc_options(options: Mapping[str, object]) -> OidcProviderOptions:
    """Parse a provider's options; those of other parts of the broker are ignored.

    Values may be typed (from YAML) or texts (from the command line).

    Raises:
        ValueError: names the option, what is wrong and what to write.
    """
    if not options:
        return _DEFAULT
    return OidcProviderOptions(
        one_time_use=_read_truth(options.get("OneTimeUse", False), "OneTimeUse"),
        static_jwks=_read_jwks(options.get("StaticJwks", "")),
        algorithms=_read_algorithms(options.get("Algorithms", ALGORITHM_NAMES)),
        profile=_read_profile(options.get("Profile", "strict")),
        client_id=_read_text(options.get("ClientId", ""), "ClientId"),
        sealed_client_secret=_read_text(
            options.get("ClientSecret", ""), "ClientSecret"
        ),
        scopes=_read_scopes(options.get("Scopes", ())),
        group_roles=GroupRoles.parse(options),
        claim_keys=_read_claim_keys(options.get("ClaimKeys", ())),
        name_claims=_read_name_claims(options.get("NameClaims", ())),
        scim=ScimOptions.parse(options),
    )


def check_oidc_options(options: Mapping[str, object]) -> None:
    """Check the options together, when they are set.

    Raises:
        ValueError: says which one is wrong and what to write.
    """
    text = parse_oidc_options(options).static_jwks
    if not text:
        return
    try:
        keys = parse_jwks(text.encode("utf-8", "replace"))
    except OidcRejected as error:
        raise ValueError(f"StaticJwks: {error.detail}") from error
    published = json.loads(text)["keys"]
    if any(isinstance(jwk, dict) and _PRIVATE & jwk.keys() for jwk in published):
        raise ValueError("StaticJwks has a private key; write public keys only")
    if not keys.keys:
        why = "; ".join(keys.skipped) or "it is empty"
        raise ValueError(f"StaticJwks has no key that can be used: {why:.400}")


def _read_truth(value: object, name: str) -> bool:
    truth = _TRUTHS.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(truth, bool):
        raise ValueError(f"{name} is {value!r}; write true or false")  # noqa: TRY004  # the data is at fault
    return truth


def _read_jwks(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return json.dumps(dict(value))
    raise ValueError("StaticJwks is neither a JSON text nor an object with 'keys'")


def _read_algorithms(value: object) -> frozenset[str]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple | frozenset) or not names:
        raise ValueError("Algorithms is not a list; write for example RS256, ES256")
    foreign = [name for name in names if name not in ALGORITHM_NAMES]
    if foreign:
        raise ValueError(
            f"Algorithms has {foreign[0]!r}; known are {sorted(ALGORITHM_NAMES)}"
        )
    return frozenset(names)


def _read_text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is not text")  # noqa: TRY004  # the data is at fault
    return value


def _read_scopes(value: object) -> tuple[str, ...]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) for name in names
    ):
        raise ValueError("Scopes is not a list; write for example email, groups")
    return tuple(dict.fromkeys(("openid", *names)))


def _read_claim_keys(value: object) -> tuple[str, ...]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError("ClaimKeys is not a list; write for example project_path, ref")  # noqa: TRY004  # the data is at fault
    if len(names) > CLAIM_KEYS_MAX:
        raise ValueError(
            f"ClaimKeys has {len(names)} claims; at most {CLAIM_KEYS_MAX} are read"
        )
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not _CLAIM_NAME.fullmatch(name):
            raise ValueError(
                f"ClaimKeys has {name!r:.80}; a claim's name has 1 to 128 letters,"
                " digits and . _ - /"
            )
        if name.lower() in _ALWAYS_KEYS:
            raise ValueError(f"ClaimKeys has {name!r}, which is a key without it")
        if name.lower() in seen:
            raise ValueError(f"ClaimKeys has {name!r} twice; case does not count")
        seen.add(name.lower())
    return tuple(names)


def _read_name_claims(value: object) -> tuple[str, ...]:
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or len(names) > _NAME_CLAIMS_MAX:
        raise ValueError("NameClaims is not a list of at most 8 claims; write email")
    for name in names:
        if not isinstance(name, str) or not _CLAIM_NAME.fullmatch(name):
            raise ValueError(
                f"NameClaims has {name!r:.80}; a claim's name has 1 to 128 letters,"
                " digits and . _ - /"
            )
    return tuple(dict.fromkeys(names))


def _read_profile(value: object) -> str:
    if not isinstance(value, str) or value not in PROFILES:
        raise ValueError(f"Profile is {value!r}; write strict or aws")
    return value
