import asyncio
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi import FastAPI

from broker.edges.documentation import documentation_routes, find_start
from tests.support.rows import cases


def client(site: Path) -> httpx.AsyncClient:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(documentation_routes(site))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://broker.example.com"
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    (site / "_static").mkdir(parents=True)
    (site / "index.html").write_text("<h1>Federation broker</h1>")
    (site / "_static" / "site.css").write_text("a { color: red }")
    (tmp_path / "secret.html").write_text("not part of the site")
    return site


async def test_docs_leads_to_the_site(site: Path) -> None:
    response = await client(site).get("/docs")
    assert (response.status_code, response.headers["location"]) == (307, "/docs/")


@cases("path, media_type")
async def test_files_are_served_without_inline_code(
    site: Path, path: str, media_type: str
) -> None:
    response = await client(site).get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@cases("path")
async def test_nothing_else_is(site: Path, path: str) -> None:
    response = await client(site).get(path)
    assert response.status_code == 404
    assert "not part" not in response.text


async def test_pages_are_served_once_they_are_built(site: Path) -> None:
    place = site.parent / "place"
    asking = client(place)
    response = await asking.get("/docs/")
    assert response.status_code == 404
    assert "make docs" in response.text
    assert find_start(place) == ""
    await asyncio.to_thread(site.rename, place)
    assert (await asking.get("/docs/")).status_code == 200
    assert find_start(place) == "/docs/"
