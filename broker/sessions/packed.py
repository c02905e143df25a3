"""How much of the space allotted to session policies and tags a session takes."""

import zlib
from collections.abc import Iterable, Mapping, Sequence

from broker.errors import PackedPolicyTooLarge
from broker.model.session import SessionPolicies
from broker.runtime.bounded import remembered

PACKED_BYTES = 2048
"""One hundred per cent."""

_DEFLATE = 6, zlib.DEFLATED, -15, 8
"""Level, method, bits of the window (raw), memory level."""

_PLAIN_BYTES_MAX = 1_000_000


def packed_policy_size(
    layers: Sequence[SessionPolicies], tags: Mapping[str, str]
) -> int:
    """``PackedPolicySize``: per cent of the space, rounded up, 0 without anything.

    AWS's packing is not public; this is the deflated size of the texts.

    Raises:
        PackedPolicyTooLarge: more than 100.
    """
    if not layers and not tags:
        return 0
    policies = [layer.policy for layer in layers if layer.policy is not None]
    texts = (*policies, *(arn for layer in layers for arn in layer.policy_arns))
    tag_texts = tuple(text for item in tags.items() for text in item)
    per_cent = _per_cent((*texts, *tag_texts))
    if per_cent > 100:  # noqa: PLR2004  # per cent
        of_tags = _per_cent(tag_texts) if texts else per_cent
        raise PackedPolicyTooLarge(
            f"Packed size of session tags consumes {of_tags}% of allotted space."
            if of_tags > 100  # noqa: PLR2004  # per cent
            else f"Packed policy consumes {per_cent}% of allotted space"
        )
    return per_cent


def _per_cent(texts: Iterable[str]) -> int:
    plain = "\0".join(texts).encode("utf-8", "surrogatepass")[:_PLAIN_BYTES_MAX]
    return -(-100 * _deflate(plain) // PACKED_BYTES)


@remembered(
    PACKED_BYTES
)  # a machine's tags and a program's policy are the same each time
def _deflate(plain: bytes) -> int:
    deflater = zlib.compressobj(*_DEFLATE)
    return len(deflater.compress(plain)) + len(deflater.flush())
