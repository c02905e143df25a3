"""Which roles' sessions end when a provider no longer gives a person some."""

from pathlib import Path

from broker.actions.signin.lost_roles import end_lost_roles
from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.model.lineage import subject_digest
from broker.sessions.lineage import subject_target
from tests.support.in_process import in_process
from tests.support.machines import ACCOUNT, Fleet


async def test_roles_that_were_deleted_or_made_anew_keep_no_other_from_ending(
    tmp_path: Path,
) -> None:
    async with in_process(tmp_path) as broker:
        fleet = await Fleet.of(broker, "web", "db")
        account, now = AccountId(ACCOUNT), broker.clock.now()
        directory = broker.services.stores.directory
        provider = OidcProvider(
            account=account,
            unique_id="OIDCP1",
            url="https://idp.example.com",
            client_ids=(),
            thumbprints=(),
            created_at=now,
        )
        roles = f"arn:aws:iam::{ACCOUNT}:role"
        lost = [f"{roles}/deleted", f"{roles}/elsewhere/db", f"{roles}/web"]
        await end_lost_roles(directory, provider, account, "ann", lost, now=now)
        web = (await fleet.iam("GetRole", RoleName="web"))["Role"]
        ended = (await directory.revocations(account)).roles
        person = subject_target(subject_digest(provider.url, "ann"))
        assert list(ended) == [person]
        assert list(ended[person]) == [web["RoleId"]]
