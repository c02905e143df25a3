"""A proof that comes back used: on the wire an `InvalidIdentityToken` like others."""

from broker.errors import InvalidIdentityToken


class ProofUsed(InvalidIdentityToken):
    """An earlier call has already spent this one-time proof."""

    def __init__(self, message: str | None = None, *, detail: str = "") -> None:
        super().__init__(
            message
            or "The assertion or token in the request has been used before. If no answer to that use reached you, it may have taken effect all the same. Sign in at your identity provider again.",
            detail=detail or "replay: another mint has spent this proof",
        )
