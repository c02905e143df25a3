"""Stored requests are answered with the stored documents: all of STS, some of IAM.

`pairs.json` holds requests as botocore sends them and whole answers, byte by byte
but for what varies: ``{name}`` stands for it. The source of each says whether the
real service's answer was recorded, or the model alone is known.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import pytest_asyncio

from broker.actions.models import load_service_model
from tests.support.in_process import in_process
from tests.support.oidc_issuer import serving
from tests.support.rows import of_file, rows
from tests.support.saml_idp import metadata_xml
from tests.support.warm_and_cold import answered_twice
from tests.wire.errors.world import MEMBER, World

PAIRS: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("pairs.json").read_text("utf-8")
)
_VARIABLE = re.compile(r"\\\{(\w+)\\\}")
_FORMS = of_file(__file__, "_FORMS")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("golden")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        async with in_process(folder, internal_issuers=internal) as broker:
            made = World(broker, issuer)
            await made.set_up()
            await made.iam("EnableOutboundWebIdentityFederation")
            await made.let_manage_root(MEMBER)
            denied = await made.call("sts:AssumeRole", "powerless")
            made.texts |= {
                "denial": denied.text_of("EncodedMessage"),
                "id_token": issuer.issuer.token(),
                "assertion": made.assertion(),
                "metadata": metadata_xml(),
            }
            async with answered_twice(broker, folder):
                yield made


def name_of(pair: dict[str, Any]) -> str:
    return str(pair["name"])


@pytest.mark.asyncio(loop_scope="module")
@rows("pair", PAIRS, ids=map(name_of, PAIRS))
async def test_a_request_is_answered_as_stored(
    world: World, pair: dict[str, Any]
) -> None:
    request = re.sub(
        r"\{(\w+)\}", lambda name: quote_plus(world.texts[name[1]]), pair["request"]
    )
    service = pair.get("service", "sts")
    reply = await world.broker.post(service, request, world.keys[pair["caller"]])
    assert reply.status == pair["status"], reply.body
    assert reply.headers["content-type"] == "text/xml"
    wanted = re.escape("\n".join(pair["answer"]) + "\n")
    pattern = _VARIABLE.sub(lambda name: _FORMS[name[1]], wanted)
    assert re.fullmatch(pattern, reply.body.decode()), reply.body.decode()


def test_every_operation_of_sts_has_a_pair() -> None:
    answered = {
        pair["request"].partition("&")[0] for pair in PAIRS if "service" not in pair
    }
    operations = load_service_model("sts")["operations"]
    assert answered == {f"Action={name}" for name in operations}
