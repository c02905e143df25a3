"""The ARN of a session, as AWS Sign-In names it, and what it says.

The last part is a UUID (version 8) made of the access key id and 42 bits of the mint
id, so that the session is found by its ARN without another index. Access key ids that
are no 16 characters of base32 behind a prefix, which upstreams may issue, stand as they
are. The region is that of the call: a session belongs to none.

Source: botocore's signin model; RFC 9562 5.8.
"""

import base64
import re
import uuid

from broker.model.account import TEMPORARY_KEY_PREFIX, AccountId

_MINT_BITS = 42
_MINT_CHARACTERS = 7
_LOW_BITS = 62
_MIDDLE_BITS = 12
_VERSION_8 = 8 << 76
_VARIANT = 2 << _LOW_BITS
_BODY = re.compile(r"[A-Z2-7]{16}")
_ARN = re.compile(
    r"arn:aws:signin:[a-z0-9-]{1,32}:([0-9]{12}):session/([A-Za-z0-9_-]{1,128})"
)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def session_arn(
    region: str, account: AccountId, access_key_id: str, mint_id: str
) -> str:
    """The ARN of a session."""
    name = _session_uuid(access_key_id, mint_id) or access_key_id
    return f"arn:aws:signin:{region}:{account}:session/{name}"


def session_arn_by_key(region: str, account: AccountId, access_key_id: str) -> str:
    """The ARN of a session of which only the key is known: it names the same one."""
    return f"arn:aws:signin:{region}:{account}:session/{access_key_id}"


def find_key_of_arn(arn: str) -> tuple[AccountId, str] | None:
    """The account and the access key id that the ARN of a session names."""
    match = _ARN.fullmatch(arn)
    if match is None:
        return None
    name = match[2]
    if _UUID.fullmatch(name):
        number = uuid.UUID(name).int
        value = (number >> 80) << _MIDDLE_BITS | number >> 64 & (1 << _MIDDLE_BITS) - 1
        value = value << _LOW_BITS | number & (1 << _LOW_BITS) - 1
        body = base64.b32encode((value >> _MINT_BITS).to_bytes(10, "big"))
        name = f"{TEMPORARY_KEY_PREFIX}{body.decode('ascii')}"
    return AccountId(match[1]), name


def _session_uuid(access_key_id: str, mint_id: str) -> str:
    body = access_key_id.removeprefix(TEMPORARY_KEY_PREFIX)
    if body == access_key_id or not _BODY.fullmatch(body):
        return ""
    key = int.from_bytes(base64.b32decode(body), "big")
    mint = base64.urlsafe_b64decode(f"{mint_id[:_MINT_CHARACTERS]:A<8}")
    value = key << _MINT_BITS | int.from_bytes(mint, "big") >> 48 - _MINT_BITS
    high, low = value >> _LOW_BITS, value & (1 << _LOW_BITS) - 1
    number = (high >> _MIDDLE_BITS) << 80 | _VERSION_8
    number |= (high & (1 << _MIDDLE_BITS) - 1) << 64 | _VARIANT | low
    return str(uuid.UUID(int=number))
