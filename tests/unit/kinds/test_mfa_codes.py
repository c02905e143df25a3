"""Which codes of an MFA device count, what they teach, and when it is locked."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from broker.kinds.mfa_codes import (
    FREE_FAILURES,
    LOCK_SECONDS_MAX,
    PAIR_WINDOW_STEPS,
    MfaCodes,
    judge_code,
    judge_pair,
)
from broker.model.account import AccountId
from broker.model.credentials import MfaDevice, MfaState
from broker.protocols.totp import totp_code
from broker.stores.directory.stored import Kind

ACCOUNT = AccountId("123456789012")
SEED = bytes(range(20))
NOW = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30
SERIAL = f"arn:aws:iam::{ACCOUNT}:mfa/ann"


def judge(state: MfaState, step: int, now: datetime = NOW) -> tuple[bool, MfaState]:
    return judge_code(state, SEED, totp_code(SEED, step), period_seconds=30, now=now)


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_code_of_about_now_counts_and_teaches_the_drift(off: int) -> None:
    counts, state = judge(MfaState(failures=3), STEP + off)
    assert counts
    assert state == MfaState(last_step=STEP + off, drift=off)


@pytest.mark.parametrize("off", [-2, 2])
def test_a_code_further_off_does_not_count(off: int) -> None:
    counts, state = judge(MfaState(), STEP + off)
    assert not counts
    assert state == MfaState(failures=1)


def test_a_learned_drift_moves_the_window() -> None:
    drifting = MfaState(drift=-5)
    assert judge(drifting, STEP - 6)[1].drift == -6
    assert judge(drifting, STEP - 4)[0]
    assert not judge(drifting, STEP)[0]


def test_no_code_counts_twice_and_none_before_an_accepted_one() -> None:
    _, state = judge(MfaState(), STEP)
    assert not judge(state, STEP)[0]
    assert not judge(state, STEP - 1)[0]
    assert judge(state, STEP + 1)[0]


def test_wrong_codes_in_a_row_lock_the_device_ever_longer() -> None:
    state, now, locks = MfaState(), NOW, []
    for _ in range(14):
        counts, state = judge_code(state, SEED, "none", period_seconds=30, now=now)
        assert not counts
        if state.locked_until is not None:
            locks.append((state.locked_until - now).total_seconds())
            now = state.locked_until
    assert locks[:4] == [60, 120, 240, 480]
    assert max(locks) == LOCK_SECONDS_MAX
    assert len(locks) == 14 - FREE_FAILURES + 1


def test_while_locked_even_the_right_code_does_not_count() -> None:
    locked = MfaState(failures=9, locked_until=NOW + timedelta(seconds=1))
    assert judge(locked, STEP) == (False, locked)
    counts, state = judge(locked, STEP, NOW + timedelta(seconds=1))
    assert counts
    assert state == MfaState(last_step=STEP)


def pair(first: int, second: int, state: MfaState | None = None) -> MfaState | None:
    return judge_pair(
        state or MfaState(failures=7),
        SEED,
        (totp_code(SEED, first), totp_code(SEED, second)),
        period_seconds=30,
        now=NOW,
    )


@pytest.mark.parametrize("off", [0, -1, 50, -PAIR_WINDOW_STEPS])
def test_two_consecutive_codes_teach_any_drift(off: int) -> None:
    step = STEP + off
    assert pair(step, step + 1) == MfaState(last_step=step + 1, drift=off + 1)


def test_other_pairs_teach_nothing() -> None:
    assert pair(STEP, STEP + 2) is None
    assert pair(STEP + 1, STEP) is None
    assert pair(STEP, STEP) is None
    beyond = STEP - PAIR_WINDOW_STEPS - 1
    assert pair(beyond, beyond + 1) is None


def test_a_pair_must_be_newer_than_the_last_accepted_code() -> None:
    spent = MfaState(last_step=STEP)
    assert pair(STEP, STEP + 1, spent) is None
    assert pair(STEP + 1, STEP + 2, spent) is not None


class Opener:
    def open_sealed(self, *place: object) -> bytes:
        del place
        return SEED


class Store:
    """One device in memory, yielding between read and write as a database does."""

    def __init__(self, device: MfaDevice) -> None:
        self.device = device

    async def named(
        self, _: Kind[MfaDevice], account: AccountId, serial: str
    ) -> MfaDevice | None:
        await asyncio.sleep(0)
        return self.device if (account, serial) == (ACCOUNT, SERIAL) else None

    async def replace_mfa_state(self, device: MfaDevice, state: MfaState) -> bool:
        await asyncio.sleep(0)
        if self.device != device:
            return False
        self.device = replace(device, state=state)
        return True


def make_store() -> Store:
    return Store(
        MfaDevice(
            account=ACCOUNT,
            serial=SERIAL,
            virtual=True,
            sealed_seed=b"",
            created_at=NOW,
            user_id="AIDA1",
            enabled_at=NOW,
        )
    )


async def test_of_many_calls_with_one_code_one_counts() -> None:
    store = make_store()
    codes = MfaCodes(store, Opener())
    code = totp_code(SEED, STEP)
    calls = [codes.accept(ACCOUNT, SERIAL, "AIDA1", code, NOW) for _ in range(4)]
    assert sum(await asyncio.gather(*calls)) == 1
    assert store.device.state.last_step == STEP


async def test_only_the_holders_codes_count() -> None:
    codes = MfaCodes(make_store(), Opener())
    code = totp_code(SEED, STEP)
    assert await codes.find_holder(ACCOUNT, SERIAL) == "AIDA1"
    assert await codes.find_holder(ACCOUNT, "other") is None
    assert not await codes.accept(ACCOUNT, SERIAL, "AIDA2", code, NOW)
    assert not await codes.accept(ACCOUNT, "other", "AIDA1", code, NOW)
    assert await codes.accept(ACCOUNT, SERIAL, "AIDA1", code, NOW)
