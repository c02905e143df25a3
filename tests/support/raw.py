"""A request as it came over the wire, for tests that need just any."""

from typing import Any

from broker.model.request import RawRequest

_ANY: dict[str, Any] = {
    "method": "POST",
    "raw_path": b"/",
    "query": b"",
    "headers": (),
    "body": b"",
    "source_ip": "192.0.2.1",
    "secure": False,
}


def raw_request(**parts: Any) -> RawRequest:
    """A plain POST to ``/``, except for the parts that are given."""
    return RawRequest(**{**_ANY, **parts})
