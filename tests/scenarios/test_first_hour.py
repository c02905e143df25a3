"""From an empty broker to an administrator in the console, on every kind of storage."""

import asyncio
import json
import re
import threading
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.broker import ACCOUNT
from tests.support.signin import form_fields, text_of
from tests.support.storage import STORAGES, broker_on
from tests.support.waiting import until

PASSWORD = "Correct-horse-7"
SAME = {"sec-fetch-site": "same-origin"}
LINK = re.compile(r"^Account (\d{12}) .*\n.*\n(http://\S+)$", re.MULTILINE)


def choose(link: str, *, user: str = "admin") -> httpx.Response:
    """What a browser gets that opens the link and sends its form."""
    with httpx.Client() as browser:
        page = browser.get(link)
        if page.status_code != 200:
            return page
        path = page.url.path
        fields = {**form_fields(page, path), "new": PASSWORD, "again": PASSWORD}
        done = browser.post(page.url.join(path), data=fields, headers=SAME)
        if done.status_code == 303:
            assert f"user/{user}" in text_of(
                browser.get(page.url.join(done.headers["location"]))
            )
        return done


@pytest.mark.parametrize(("storage", "workers"), [*zip(STORAGES, (1, 2), strict=True)])
def test_the_link_of_init_leads_in_once(
    storage: str, workers: int, tmp_path: Path
) -> None:
    with broker_on(storage, tmp_path, workers=workers) as broker:
        made = json.loads(broker.command("init", "--account", ACCOUNT, "--json"))
        link = made["SignInLink"]
        answers: list[int] = []
        racing = [
            threading.Thread(target=lambda: answers.append(choose(link).status_code))
            for _ in range(4)
        ]
        for each in racing:
            each.start()
        for each in racing:
            each.join()
        assert sorted(answers) == [303, 403, 403, 403]
        again = choose(link)
        assert (again.status_code, "has been used" in text_of(again)) == (403, True)


def test_a_start_with_init_prints_a_link_for_a_database_that_it_made(
    tmp_path: Path,
) -> None:
    with broker_on("embedded", tmp_path, options=("--init",)) as broker:
        ((account, link),) = LINK.findall(broker.log)
        broker.stop()
        broker.start()
        assert len(LINK.findall(broker.log)) == 1
        # It says how to get another, and the first one is still good.
        (told,) = re.findall(r"^broker (init --account .*)$", broker.log, re.MULTILINE)
        assert told == f"init --account {account} --user admin"
        assert choose(link).status_code == 303
        broker.stop()
        broker.start()
        assert len(re.findall("^broker init", broker.log, re.MULTILINE)) == 1
        only = json.loads(broker.command("account", "list", "--json"))
        assert (only["AccountId"], only["WaitingForPassword"]) == (account, [])


def test_a_start_with_init_makes_nothing_in_a_database_that_others_made(
    tmp_path: Path,
) -> None:
    with broker_on("embedded", tmp_path) as broker:
        broker.stop()
    with broker_on("embedded", tmp_path, options=("--init",)) as broker:
        assert not LINK.findall(broker.log)
        assert not broker.command("account", "list", "--json").strip()


def test_another_link_replaces_the_one_that_a_start_printed(tmp_path: Path) -> None:
    with broker_on("embedded", tmp_path, options=("--init",)) as broker:
        ((account, link),) = LINK.findall(broker.log)
        made = json.loads(
            broker.command("init", "--account", account, "--user", "admin", "--json")
        )
        assert choose(link).status_code == 403
        assert choose(made["SignInLink"]).status_code == 303


def test_a_second_administrator_and_a_lost_password_take_one_command_each(
    tmp_path: Path,
) -> None:
    def link(*words: str) -> str:
        made: str = json.loads(broker.command(*words, "--json"))["SignInLink"]
        return made

    with broker_on("embedded", tmp_path) as broker:
        init = ("init", "--account", ACCOUNT)
        assert choose(link(*init)).status_code == 303
        assert choose(link(*init, "--user", "ana"), user="ana").status_code == 303
        console = f"{broker.url}/console/"
        with httpx.Client() as signed_in:
            form = signed_in.get(f"{broker.url}/signin/{ACCOUNT}")
            path = form.url.path
            fields = {
                **form_fields(form, path),
                "username": "ana",
                "password": PASSWORD,
            }
            signed_in.post(form.url, data=fields, headers=SAME)
            assert signed_in.get(console).status_code == 200
            new = link("account", "reset-password", ACCOUNT, "ana")
            # Within a second: the broker reads what a command wrote.
            asyncio.run(until(lambda: signed_in.get(console).status_code != 200))
        assert choose(new, user="ana").status_code == 303
