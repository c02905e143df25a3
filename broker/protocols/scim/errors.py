"""Why a SCIM request is refused."""

BAD_REQUEST, NOT_FOUND, CONFLICT, CHANGED = 400, 404, 409, 412


class ScimRejected(Exception):
    """A request that SCIM or its bounds do not allow.

    ``scim_type`` is the keyword of RFC 7644, 3.12, empty where there is none.
    """

    def __init__(
        self, detail: str, scim_type: str = "", *, status: int = BAD_REQUEST
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.scim_type = scim_type
        self.status = status
