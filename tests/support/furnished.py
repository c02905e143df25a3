"""An account with something of everything in it, so that no page is empty."""

import json
import uuid
from typing import Any

import httpx2 as httpx
from msgspec.structs import replace

from broker.kinds import bearer_tokens as tokens
from broker.kinds import registered_services
from broker.kinds.accounts import PROVIDER_OPTIONS, create_root_key, require_account
from broker.kinds.control_policies import ControlKind, ControlPolicy, option_value
from broker.kinds.instances import require_instance_profile
from broker.kinds.resource_policies import put_resource_policy
from broker.model.entities import LdapProvider
from broker.model.machines import Instance
from broker.model.roles_anywhere import CertificateList, CertificateProfile, TrustAnchor
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import CERTIFICATE_LIST, LDAP_PROVIDER, TRUST_ANCHOR
from tests.support.broker import Key
from tests.support.certificates import issue
from tests.support.in_process import InProcess
from tests.support.signin import ACCOUNT, SignInWorld

EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)
READ_ONE_BUCKET = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Read",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:ListBucket"],
                "Resource": ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "true"}},
            },
            {"Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"},
        ],
    }
)
OUTSIDERS_READ_NOTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Deny",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::reports/*",
            "Condition": {
                "ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:*"}
            },
        },
    }
)
PASSWORD = "Correct-horse-7"
"""Dana's; she may do everything, too."""

API = json.dumps({"Hosts": ["api.example.com"]})
ORDERS = json.dumps(
    {
        "Hosts": ["orders.example.com"],
        "ResourceTypes": {"order": "order/{id}"},
        "Actions": {
            "ListOrders": {"AccessLevel": "List"},
            "GetOrder": {"AccessLevel": "Read", "ResourceTypes": ["order"]},
        },
        "ConditionKeys": {"orders:Priority": "String"},
        "Routes": [
            {"Methods": ["GET"], "Path": "/orders", "Action": "ListOrders"},
            {"Methods": ["GET"], "Path": "/orders/{id}", "Action": "GetOrder"},
        ],
    }
)
"""The definition of the registered service ``orders``."""

DANA_MAY_READ = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/dana"},
            "Action": "orders:GetOrder",
        },
    }
)
ORDER = f"arn:aws:orders:us-east-1:{ACCOUNT}:order/7"
"""A resource of it that has a policy."""

INSTANCE = "i-0123456789abcdef0"
"""A machine with the instance profile ``web``."""

ANCHOR = str(uuid.UUID(int=1))
CERTIFICATE_PROFILE = str(uuid.UUID(int=2))
DIRECTORY = f"arn:aws:iam::{ACCOUNT}:ldap-provider/company"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/ReadReports"


async def furnish(world: SignInWorld) -> None:
    """Users, groups, policies; the role ``Admin`` may do everything."""
    services = world.services
    async with services.stores.directory.change(ACCOUNT) as change:
        key, secret = await create_root_key(
            change, ACCOUNT, sealer=services.vault, now=world.clock.now()
        )
    root = Key(key.access_key_id, secret.reveal())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=world.app),
        base_url=services.settings.public_origin,
    ) as http:
        broker = InProcess(services, world.clock, http)

        async def iam(operation: str, **params: Any) -> None:
            await broker.ask("iam", operation, root, **params)

        await iam(
            "PutRolePolicy",
            RoleName="Admin",
            PolicyName="Everything",
            PolicyDocument=EVERYTHING,
        )
        await iam(
            "CreatePolicy",
            PolicyName="ReadReports",
            PolicyDocument=READ_ONE_BUCKET,
            Description="What the people of finance look at",
        )
        await iam("AttachRolePolicy", RoleName="Reader", PolicyArn=POLICY)
        await iam("CreateGroup", GroupName="Finance")
        await iam("AttachGroupPolicy", GroupName="Finance", PolicyArn=POLICY)
        for name in ("dana", "erin"):
            await iam(
                "CreateUser", UserName=name, Tags=[{"Key": "team", "Value": "finance"}]
            )
            await iam("AddUserToGroup", GroupName="Finance", UserName=name)
        await iam("CreateAccessKey", UserName="dana")
        await iam("CreateLoginProfile", UserName="dana", Password=PASSWORD)
        for name, document in (("Own", READ_ONE_BUCKET), ("Everything", EVERYTHING)):
            await iam(
                "PutUserPolicy",
                UserName="dana",
                PolicyName=name,
                PolicyDocument=document,
            )
        await iam(
            "CreateOpenIDConnectProvider",
            Url="https://issuer.example.com/tenant",
            ClientIDList=["app"],
            ThumbprintList=["a" * 40],
        )
        await iam("CreateInstanceProfile", InstanceProfileName="web")
        await iam(
            "AddRoleToInstanceProfile", InstanceProfileName="web", RoleName="Reader"
        )
        await _trust_directory(world)
        await _join(world)
        await _admit_certificates(world)
        token = await _register(world)
        for action in ("orders:GetOrder", "orders:ListOrders"):
            question = {
                "Principal": f"arn:aws:iam::{ACCOUNT}:user/dana",
                "Actions": [action],
            }
            answer = await http.post(
                "/decisions", json=question, headers={"x-broker-service-token": token}
            )
            assert answer.status_code == 200, answer.text
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await change.find(kinds.ACCOUNT, ACCOUNT)
        assert account is not None
        stated = [ControlPolicy("outsiders-read-nothing", OUTSIDERS_READ_NOTHING)]
        options = {
            **account.options,
            PROVIDER_OPTIONS: True,
            ControlKind.INVARIANT.value: option_value(stated),
        }
        await update_account(change, replace(account, options=options))


async def _trust_directory(world: SignInWorld) -> None:
    """A directory that gives a role, and is not on the sign-in page."""
    provider = LdapProvider(
        account=ACCOUNT,
        unique_id="LDAPPCOMPANY",
        name="company",
        directory="headquarters",
        created_at=world.clock.now(),
        options={
            "SignIn": False,
            "GroupRoles": {"staff": [f"arn:aws:iam::{ACCOUNT}:role/Reader"]},
        },
    )
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(LDAP_PROVIDER, provider)


async def _join(world: SignInWorld) -> None:
    """A machine, and a join token for another."""
    now = world.clock.now()
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        profile = await require_instance_profile(change, ACCOUNT, "web")
        owner = tokens.owning_profile(
            profile, created_by=f"arn:aws:iam::{ACCOUNT}:root"
        )
        token, _ = await tokens.JOIN_TOKENS.create(
            change, account, owner, lasts=3600, addresses=(), now=now
        )
        await change.insert(
            kinds.INSTANCE,
            Instance(
                account=ACCOUNT,
                instance_id=INSTANCE,
                region="us-east-1",
                public_key=bytes(range(32)),
                registered_at=now,
                registered_by=token.arn,
                profile_id=profile.profile_id,
            ),
        )


async def _admit_certificates(world: SignInWorld) -> None:
    """A trust anchor with a revocation list, and a profile."""
    now = world.clock.now()
    by = issue("Plant", is_authority=True, days=365, now=now)
    common: dict[str, Any] = {
        "account": ACCOUNT,
        "region": "us-east-1",
        "enabled": True,
        "created_at": now,
        "updated_at": now,
    }
    async with world.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(
            TRUST_ANCHOR,
            TrustAnchor(name="plant", anchor_id=ANCHOR, certificates=by.pem, **common),
        )
        await change.insert(
            CERTIFICATE_LIST,
            CertificateList(
                name="gone",
                list_id=str(uuid.UUID(int=3)),
                anchor_id=ANCHOR,
                data=by.revoke(by.issue("web-1", now=now), now=now),
                **common,
            ),
        )
        await change.insert(
            kinds.CERTIFICATE_PROFILE,
            CertificateProfile(
                name="machines",
                profile_id=CERTIFICATE_PROFILE,
                role_arns=(f"arn:aws:iam::{ACCOUNT}:role/Reader",),
                managed_policy_arns=(),
                session_policy=None,
                duration_seconds=3600,
                accepts_session_name=False,
                attribute_mappings={"x509Subject": ("CN",)},
                created_by=f"arn:aws:iam::{ACCOUNT}:root",
                **common,
            ),
        )


async def _register(world: SignInWorld) -> str:
    """Two services; a token of the first."""
    now = world.clock.now()
    async with world.services.stores.directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        orders, _ = [
            await registered_services.put_service(change, account, name, text, now)
            for name, text in (("orders", ORDERS), ("api", API))
        ]
        await put_resource_policy(change, account, ORDER, DANA_MAY_READ, now)
        owner = tokens.owning_service(orders)
        _, token = await tokens.SERVICE_TOKENS.create(
            change, account, owner, lasts=90, addresses=(), now=now
        )
    return token.reveal()
