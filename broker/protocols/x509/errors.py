"""The one error of this package."""


class CertificateRejected(Exception):
    """A certificate, chain or list is refused; the text says why, for its bearer.

    ``detail`` is for administrators.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
