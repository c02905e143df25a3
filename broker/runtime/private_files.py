"""When a file with a secret is open to others."""

import os
import stat


def is_open_to_others(status: os.stat_result) -> bool:
    """Whether others than the owner may read or write it.

    A file of root's may be lent through its group, as Kubernetes does.
    """
    mode = stat.S_IMODE(status.st_mode)
    return bool(mode & (0o077 if status.st_uid == os.geteuid() else 0o037))
