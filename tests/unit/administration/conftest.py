import pytest

from tests.support.administrator import Administrator, enter, grant
from tests.support.signin import SignInWorld


@pytest.fixture
async def admin(world: SignInWorld) -> Administrator:
    """An administrator who may do everything in IAM."""
    await grant(world, "iam:*")
    return await enter(world)
