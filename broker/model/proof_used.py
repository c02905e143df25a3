"""A proof that comes back used: on the wire an `InvalidIdentityToken` like others."""

from broker.errors import InvalidIdentityToken


class ProofUsed(InvalidIdentityToken):
    """An earlier call has already spent this one-time proof.

    ``used_by`` is the id of that call's record, where it is known.
    """

    def __init__(
        self, message: str | None = None, *, detail: str = "", used_by: str = ""
    ) -> None:
        super().__init__(
            message
            or "The assertion or token in the request has been used before. If no answer to that use reached you, it may have taken effect all the same. Sign in at your identity provider again.",
            detail=detail or "replay: another mint has spent this proof",
        )
        self.used_by = used_by
