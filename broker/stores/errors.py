"""What a store can say besides its answer."""


class StoreUnavailableError(Exception):
    """The store cannot be reached, or did not answer in time. Try again later."""


class ReplayedError(Exception):
    """The proof was spent before, by another mint."""


class AlreadyExistsError(Exception):
    """A unique name, id or alias is taken. ``kind`` says of what."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class ConflictError(Exception):
    """The transaction collided with another writer's."""


class InvalidMarkerError(ValueError):
    """A page's marker was not made by the list that it was shown to."""
