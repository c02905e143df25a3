"""A person at npm's oidc-provider, as a program: what ``$BROWSER`` may name.

``python -m tests.support.visit NAME URL`` opens the address and signs in as NAME.
"""

import sys

from tests.support.identity_providers import browsing


def visit(name: str, url: str) -> None:
    """From the address that a program opens to the page where that ends."""
    with browsing() as browser:
        login = browser.get(url)
        browser.submit(browser.submit(login, login=name, password="any"))


if __name__ == "__main__":
    visit(*sys.argv[1:])
