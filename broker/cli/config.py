"""``broker config``: the settings that commands and the broker use here."""

import os
from collections.abc import Mapping
from typing import Any

from broker.cli.operator import JsonOption
from broker.cli.terminal import say, say_entries
from broker.settings import effective_settings, load_settings, unknown_settings

_HEADINGS = ("Setting", "Value", "Source")


def config(as_json: JsonOption = False) -> None:
    """Print the effective settings and where each is from, without secrets."""
    say_entries(
        [
            {"Name": name, "Value": value, "Source": source}
            for name, value, source in effective_settings(load_settings())
        ],
        _HEADINGS,
        _row,
        as_json=as_json,
    )
    for name in unknown_settings(os.environ):
        say(f"{name} is not a setting of the broker.", err=True)


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    value = entry["Value"]
    text = value if isinstance(value, str) else ", ".join(value)
    return entry["Name"], text or "-", entry["Source"]
