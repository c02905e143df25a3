"""No chain of calls ever yields more permission, longer life or fewer tags.

Random chains run against a real broker through boto3. A model that knows the rules
only says what each session must be: which of three probes it may make, when it ends,
its tags and its source identity.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.effort import examples
from tests.support.oidc_issuer import OidcIssuer, serving

PROBES = {
    "iam:ListUsers": "list_users",
    "iam:ListRoles": "list_roles",
    "iam:ListPolicies": "list_policies",
}
ROLES = {
    "Broad": frozenset(PROBES),
    "Users": frozenset({"iam:ListUsers"}),
    "RolesAndPolicies": frozenset({"iam:ListRoles", "iam:ListPolicies"}),
}
PASSING = ("sts:TagSession", "sts:SetSourceIdentity")
MAX_SCOPES = 3
_SLACK_SECONDS = 2


def document(actions: frozenset[str]) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": ["sts:*", *sorted(actions)],
                "Resource": "*",
            },
        }
    )


@dataclass(frozen=True)
class Model:
    """What the rules say of the credentials in hand."""

    probes: frozenset[str] = frozenset(PROBES)
    ends: float = float("inf")
    tags: dict[str, str] = field(default_factory=dict)
    transitive: frozenset[str] = frozenset()
    source_identity: str | None = None
    is_role: bool = False
    calls_iam: bool = True
    is_session: bool = False
    is_federated: bool = False
    calls_sts: bool = True
    scopes: int = 0


class Chain:
    """A broker, its roles, and one user whose key begins every chain."""

    def __init__(self, broker: RunningBroker, issuer: OidcIssuer) -> None:
        self.broker = broker
        self.issuer = issuer
        iam = broker.client("iam", broker.create_account())
        iam.create_user(UserName="alice")
        iam.put_user_policy(
            UserName="alice",
            PolicyName="All",
            PolicyDocument=document(frozenset(PROBES)),
        )
        provider = iam.create_open_id_connect_provider(
            Url=issuer.url, ClientIDList=[issuer.audience]
        )["OpenIDConnectProviderArn"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": principal,
                    "Action": [action, *PASSING],
                }
                for principal, action in (
                    ({"AWS": ACCOUNT}, "sts:AssumeRole"),
                    ({"Federated": provider}, "sts:AssumeRoleWithWebIdentity"),
                )
            ],
        }
        for name, actions in ROLES.items():
            iam.create_role(
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps(trust),
                MaxSessionDuration=7200,
            )
            iam.put_role_policy(
                RoleName=name, PolicyName="Own", PolicyDocument=document(actions)
            )
        iam.enable_outbound_web_identity_federation()
        self.start = Key.of(iam.create_access_key(UserName="alice")["AccessKey"])

    def require(self, key: Key, model: Model) -> None:
        """The broker agrees with the model."""
        iam = self.broker.client("iam", key)
        allowed = frozenset(
            action for action, method in PROBES.items() if self._may(iam, method)
        )
        assert allowed == (model.probes if model.calls_iam else frozenset())
        if not model.is_role:
            return
        token = self.broker.client("sts", key).get_web_identity_token(
            Audience=["a"], SigningAlgorithm="ES384", DurationSeconds=60
        )["WebIdentityToken"]
        claims = jwt.decode(token, options={"verify_signature": False})
        about = claims["https://sts.amazonaws.com/"]
        assert about.get("principal_tags", {}) == model.tags
        assert about.get("source_identity") == model.source_identity

    @staticmethod
    def _may(iam: Any, method: str) -> bool:
        try:
            getattr(iam, method)()
        except ClientError:
            return False
        return True


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder: Path = tmp_path_factory.mktemp("chains")
    with (
        serving("/idp") as server,
        running_broker(
            folder, rate_limit="0", internal_issuers=f"127.0.0.1:{server.port}"
        ) as broker,
    ):
        yield Chain(broker, server.issuer)


subsets = st.frozensets(st.sampled_from(sorted(PROBES)))
keys = st.sampled_from(["Team", "Project", "Cost"])
steps = st.one_of(
    st.fixed_dictionaries(
        {
            "do": st.sampled_from(["assume", "assume", "exchange"]),
            "role": st.sampled_from(sorted(ROLES)),
            "policy": st.none() | subsets,
            "seconds": st.sampled_from([900, 3600, 7200]),
            "tags": st.dictionaries(keys, st.sampled_from("xyz"), max_size=2),
            "transitive": st.booleans(),
            "identity": st.sampled_from([None, None, "carol", "dave"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "do": st.just("scope"),
            "policy": st.none() | subsets,
            "longer_by": st.sampled_from([-60, 60, None]),
        }
    ),
    st.fixed_dictionaries(
        {
            "do": st.just("federate"),
            "policy": st.none() | subsets,
            "seconds": st.sampled_from([900, 3600, 7200]),
            "tags": st.dictionaries(keys, st.sampled_from("xyz"), max_size=2),
        }
    ),
    st.just({"do": "session"}),
)


def exchange(chain: Chain, step: dict[str, Any], more: dict[str, Any]) -> Any:
    """A session from outside, with what the identity provider says of it."""
    tags = {
        "principal_tags": {key: [value] for key, value in step["tags"].items()},
        "transitive_tag_keys": list(step["tags"]) if step["transitive"] else [],
    }
    claims: dict[str, Any] = {"https://aws.amazon.com/tags": tags}
    if step["identity"]:
        claims["https://aws.amazon.com/source_identity"] = step["identity"]
    return chain.broker.client("sts").assume_role_with_web_identity(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{step['role']}",
        RoleSessionName="chain",
        WebIdentityToken=chain.issuer.token(claims=claims),
        **more,
    )


def limits(step: dict[str, Any], ends: float) -> dict[str, Any]:
    """The session policy and the duration that a step asks for."""
    more: dict[str, Any] = {}
    if step.get("longer_by") is not None:
        left = 3600 if ends == float("inf") else int(ends - time.time())
        more["DurationSeconds"] = left + step["longer_by"]
    if step.get("policy") is not None:
        more["Policy"] = document(step["policy"])
    if "seconds" in step:
        more["DurationSeconds"] = step["seconds"]
    return more


def call(chain: Chain, sts: Any, step: dict[str, Any], ends: float) -> dict[str, Any]:
    more = limits(step, ends)
    if step["do"] == "exchange":
        exchanged: dict[str, Any] = exchange(chain, step, more)
        return exchanged
    if step.get("tags"):
        more["Tags"] = [{"Key": k, "Value": v} for k, v in step["tags"].items()]
    match step["do"]:
        case "session":
            answer: dict[str, Any] = sts.get_session_token()
        case "federate":
            answer = sts.get_federation_token(Name="guest", **more)
        case "scope":
            answer = sts.get_scoped_credentials(**more)
        case _:
            if step["tags"] and step["transitive"]:
                more["TransitiveTagKeys"] = list(step["tags"])
            if step["identity"]:
                more["SourceIdentity"] = step["identity"]
            answer = sts.assume_role(
                RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{step['role']}",
                RoleSessionName="chain",
                **more,
            )
    return answer


def expected(model: Model, step: dict[str, Any], now: float) -> Model | None:
    """What the step makes; None when the rules refuse it."""
    if step["do"] == "session":
        return None if model.is_session else _session(model, now)
    policy = step["policy"]
    if step["do"] == "federate":
        return None if model.is_session else _federated(step, now)
    if step["do"] == "scope":
        longer_by = step["longer_by"]
        empty = policy is None and longer_by is None
        too_many = policy is not None and model.scopes >= MAX_SCOPES
        refused = empty or too_many or (longer_by or 0) > 0 or not model.calls_sts
        if not model.is_session or refused:
            return None
        return Model(
            **{
                **vars(model),
                "probes": model.probes if policy is None else model.probes & policy,
                "ends": model.ends + (longer_by or 0),
                "scopes": model.scopes + (policy is not None),
            }
        )
    if step["do"] == "exchange":
        model = Model()  # whoever sends it proves nothing else
    tags: dict[str, str] = step["tags"]
    other = step["identity"] not in (None, model.source_identity)
    if (
        model.is_federated
        or (model.is_role and step["seconds"] > 3600)
        or not model.transitive.isdisjoint(tags)
        or (model.source_identity and other)
    ):
        return None
    handed_on = {key: model.tags[key] for key in model.transitive}
    allowed = ROLES[step["role"]]
    return Model(
        probes=allowed if policy is None else allowed & policy,
        ends=now + step["seconds"],
        tags={**tags, **handed_on},
        transitive=model.transitive
        | (frozenset(tags) if step["transitive"] else set()),
        source_identity=model.source_identity or step["identity"],
        is_role=True,
        is_session=True,
    )


def _session(model: Model, now: float) -> Model:
    return Model(
        probes=model.probes, ends=now + 43_200, calls_iam=False, is_session=True
    )


def _federated(step: dict[str, Any], now: float) -> Model:
    """What its maker may, cut by the policies; nothing at all without any."""
    return Model(
        probes=frozenset(),
        ends=now + step["seconds"],
        calls_iam=False,
        is_session=True,
        is_federated=True,
        calls_sts=step["policy"] is not None,
    )


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(taken=st.lists(steps, min_size=1, max_size=5))
def test_a_chain_is_what_its_rules_say(
    chain: Chain, taken: list[dict[str, Any]]
) -> None:
    key, model = chain.start, Model()
    for step in taken:
        after = expected(model, step, time.time())
        sts = chain.broker.client("sts", key)
        if after is None:
            with pytest.raises(ClientError):
                call(chain, sts, step, model.ends)
            continue
        answer = call(chain, sts, step, model.ends)
        ends = answer["Credentials"]["Expiration"].timestamp()
        assert abs(ends - after.ends) <= _SLACK_SECONDS
        key, model = Key.of(answer["Credentials"]), replace(after, ends=ends)
        chain.require(key, model)
