"""``python -m tests.pictures``: the README's pictures, from the pages of a real demo.

People of the demo sign in and do what the pictures show; nothing is drawn.
"""

import re
import tempfile
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.browser import CHROMIUM, FLAGS
from tests.support.demo import RunningDemo, running_demo

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
WINDOW = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 760}
_BYTES_MAX = 150_000
_MILLISECONDS = 60_000


class Photographer:
    """Somebody with a browser and a demo."""

    def __init__(self, demo: RunningDemo, browser: Browser) -> None:
        self._demo = demo
        self._browser = browser
        self.idp = demo.idp

    def window(self, size: dict[str, int] = WINDOW, scheme: str = "light") -> Page:
        """A browser of its own."""
        page = self._browser.new_page(
            viewport=size,  # type: ignore[arg-type]  # a dictionary will do
            color_scheme=scheme,  # type: ignore[arg-type]  # one of the two
            timezone_id="Europe/Berlin",
            locale="en-GB",
        )
        page.set_default_timeout(_MILLISECONDS)
        return page

    def arrive(self, page: Page, person: str, role: str = "") -> None:
        """Sign in at the demo's identity provider."""
        page.goto(self._demo.idp)
        page.click(f"#person-{person}")
        page.wait_for_url(lambda url: url.startswith(self._demo.broker))
        if role:
            page.click(f"[name=pick][value$='/{role}']")
        page.wait_for_url(f"{self._demo.broker}/console/")

    def open(self, page: Page, path: str) -> None:
        page.goto(self._demo.broker + path)

    def a_proof(self, page: Page) -> str:
        """A response of the demo's identity provider, as a browser would post it."""
        answer = page.request.get(f"{self._demo.idp}/saml/sign-in/ben").text()
        match = re.search(r'name="SAMLResponse" value="([^"]+)"', answer)
        if match is None:
            raise RuntimeError("the demo shows no response")
        return unescape(match[1])

    def take(self, page: Page, name: str) -> None:
        """The picture of what is in the window."""
        page.wait_for_load_state("networkidle")
        # Not in the middle of drawing.
        page.evaluate(
            "new Promise(drawn => requestAnimationFrame("
            "() => requestAnimationFrame(drawn)))"
        )
        data = page.screenshot(path=FOLDER / f"{name}.png")
        if len(data) > _BYTES_MAX:
            raise RuntimeError(f"{name}.png is {len(data)} bytes")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(Path(folder) / "demo") as demo,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        _take_all(Photographer(demo, browser))
        browser.close()


ROLES = {
    "Auditor": "Reads everything, changes nothing",
    "Billing": "Invoices and budgets of all teams",
    "Incident-Responder": "For those on call: may stop and isolate",
    "Network-Operator": "Firewalls, load balancers and names",
}
"""What Ana adds, so that her home page has roles to open."""


def _add_roles(camera: Photographer, page: Page) -> None:
    for name, about in ROLES.items():
        camera.open(page, "/console/roles/new?for=account")
        page.check("[name=chosen][value$='/ReadOnlyAccess']")
        page.fill("[name=name]", name)
        page.fill("[name=description]", about)
        page.click("text=Create role")
        page.wait_for_selector(".toast")


def _take_all(camera: Photographer) -> None:
    page = camera.window()
    camera.open(page, "/signin")
    camera.take(page, "sign-in")
    page.goto(camera.idp)
    page.click("#person-ana")
    page.wait_for_selector("#saml_form")
    camera.take(page, "role")
    page.click("[name=pick][value$='/Administrator']")
    page.wait_for_url("**/console/")
    _add_roles(camera, page)
    camera.open(page, "/console/")
    page.click("[aria-label^='Add Auditor']")
    page.wait_for_selector(".star.chosen")
    camera.open(page, "/console/")
    camera.take(page, "home")
    page.click("[value$='/Auditor'] ~ button:has-text('Credentials')")
    page.wait_for_selector("#bash")
    camera.take(page, "credentials")
    _take_administration(camera, page)
    ben = camera.window(scheme="dark")
    camera.arrive(ben, "ben")
    camera.open(ben, "/console/permissions")
    camera.take(ben, "permissions")
    camera.open(ben, "/console/try")
    ben.fill("[name=action]", "s3:PutObject")
    ben.fill("[name=resource]", "arn:aws:s3:::reports/2026.csv")
    ben.click("#try_button")
    ben.wait_for_selector(".answer")
    camera.take(ben, "try")
    phone = camera.window(PHONE, "dark")
    camera.arrive(phone, "ana", "Administrator")
    camera.take(phone, "phone")


def _take_administration(camera: Photographer, page: Page) -> None:
    camera.open(page, "/console/roles")
    page.keyboard.press("/")
    page.keyboard.type("ana", delay=20)
    page.wait_for_selector(".palette [data-at]:has-text('Analyst')")
    camera.take(page, "search")
    camera.open(page, "/console/roles/new?for=saml")
    page.fill("[name=find]", "S3Read")
    page.check("[name=chosen][value$='/AmazonS3ReadOnlyAccess']")
    page.wait_for_selector(".chip:has-text('AmazonS3ReadOnlyAccess')")
    camera.take(page, "new-role")
    camera.open(page, "/console/roles/role?name=Analyst")
    camera.take(page, "role-in-the-console")
    camera.open(page, "/console/audit")
    camera.take(page, "audit")
    camera.open(page, "/console/overview")
    camera.take(page, "overview")
    camera.open(page, "/console/providers/diagnose")
    page.fill("[name=proof]", camera.a_proof(page))
    later = datetime.now(UTC) + timedelta(hours=2)
    page.fill("[name=at]", f"{later:%Y-%m-%dT%H:%M}")
    page.click("text=Diagnose >> nth=-1")
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 300)")
    camera.take(page, "diagnosis")


if __name__ == "__main__":  # a fork of the demo imports this module again
    main()
