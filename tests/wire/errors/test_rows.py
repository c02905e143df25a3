"""Every error that the reference records is produced over HTTP, with its text.

`rows.json` is the reference's tables (sections 1 to 7, 9 and 10), a row for each
error: how it is provoked and what must come back. ``{…}`` in a message stands for
whatever varies; None for a text of the broker's own. A row with ``not_producible``
says why no request brings the error about.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.in_process import Reply, in_process
from tests.support.oidc_issuer import serving
from tests.support.rows import rows
from tests.support.saml_idp import metadata_xml
from tests.support.warm_and_cold import answered_twice
from tests.wire.errors.special import WAYS
from tests.wire.errors.world import World

ROWS: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("rows.json").read_text("utf-8")
)
PRODUCED = [row for row in ROWS if "not_producible" not in row]
_PLACEHOLDER = re.compile(r"\\\{\w+\\\}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("errors")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        async with in_process(folder, internal_issuers=internal) as broker:
            made = World(broker, issuer)
            await made.set_up()
            made.texts |= {"folder": str(folder), "metadata": metadata_xml()}
            async with answered_twice(broker, folder):
                yield made


async def provoke(world: World, row: dict[str, Any]) -> Reply:
    params = filled(row.get("given", {}), world.texts)
    if "call" in row:
        operation, caller, more = row["call"]
        return await world.call(operation, caller, **filled(more, world.texts))
    if "web" in row:
        return await world.web(row["web"], **params)
    if "saml" in row:
        return await world.saml(**row["saml"])
    if "form" in row:
        return await world.form(row["form"])
    return await WAYS[row["special"]](world)


def filled(params: Any, texts: dict[str, str]) -> Any:
    """What is known when the broker runs, in place of its name."""
    if isinstance(params, dict):
        return {key: filled(value, texts) for key, value in params.items()}
    if isinstance(params, str) and params[1:-1] in texts:
        return texts[params[1:-1]]
    return params


def name_of(row: dict[str, Any]) -> str:
    how = row.get("special") or next(
        key for key in ("call", "web", "saml", "form") if key in row
    )
    return f"{row['section']}-{row['code']}-{how}"


@pytest.mark.timeout(600)
@pytest.mark.asyncio(loop_scope="module")
@rows("row", PRODUCED, ids=map(name_of, PRODUCED))
async def test_a_recorded_error_is_produced(world: World, row: dict[str, Any]) -> None:
    reply = await provoke(world, row)
    told = f"{reply.status} {reply.code}: {reply.message}\n{reply.body[:300]!r}"
    assert reply.status == row["status"], told
    assert row["code"] is None or reply.code == row["code"], told
    if row["message"] is not None:
        pattern = _PLACEHOLDER.sub("[^\0]*", re.escape(row["message"]))
        assert re.fullmatch(pattern, reply.message), told


def test_every_way_is_used_and_every_other_row_has_its_reason() -> None:
    assert {row["special"] for row in PRODUCED if "special" in row} == set(WAYS)
    for row in ROWS:
        assert ("not_producible" in row) != bool(
            {"call", "web", "saml", "form", "special"} & set(row)
        ), row
