"""``PasswordPolicy``: the parameters of ``UpdateAccountPasswordPolicy``."""

from broker.kinds.password_policy import (
    FLAGS,
    LEAST_LENGTH,
    LONGEST,
    PasswordPolicy,
    complete_policy,
)
from broker.kinds.template.properties import Properties

# The bounds in the service model of ``UpdateAccountPasswordPolicy``.
_NUMBERS = (
    ("MinimumPasswordLength", LEAST_LENGTH, LONGEST),
    ("MaxPasswordAge", 1, 1095),
    ("PasswordReusePrevention", 1, 24),
)


def read_password_policy(properties: Properties) -> PasswordPolicy | None:
    """The template's password policy; None when it has none.

    Raises:
        TemplateError: a member is unknown or out of bounds.
    """
    if not properties.has("PasswordPolicy"):
        return None
    given = properties.part("PasswordPolicy")
    policy: dict[str, int | bool] = {
        name: given.integer(name, low, low, high)
        for name, low, high in _NUMBERS
        if given.has(name)
    }
    policy |= {
        name: given.flag(name) for name in (*FLAGS, "HardExpiry") if given.has(name)
    }
    given.finish()
    return complete_policy(policy)
