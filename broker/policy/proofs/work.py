"""What a proof may take: it counts its own work, and ends undecided beyond a bound.

A *step* takes some three microseconds: one comparison, or one operation on a
number of up to `_WORD_BITS` bits. Time is never looked at.
"""

STEPS_MAX = 120_000
"""Of one check."""

CASES_MAX = 2_000
"""Of one question."""

_WORD_BITS = 2_048


class Undecided(Exception):
    """A question could not be answered within its bounds, or not at all.

    ``reason`` says why, as the end of a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __reduce__(self) -> tuple[type["Undecided"], tuple[str]]:
        return type(self), (self.reason,)


class ProofWork:
    """The steps that are left of a check."""

    __slots__ = ("left",)

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self.left = steps

    def charge(self, steps: int) -> None:
        """Count steps before they are taken.

        Raises:
            Undecided: there are no more.
        """
        self.left -= steps
        if self.left < 0:
            raise Undecided("the policies are too hard to compare")

    def charge_bits(self, bits: int, times: int = 1) -> None:
        """Count operations on numbers of some length.

        Raises:
            Undecided: there are no more steps.
        """
        self.charge(times * (1 + bits // _WORD_BITS))
