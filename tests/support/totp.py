"""An MFA device as its user holds it: `oathtool` makes the codes."""

import shutil
import subprocess
import time

import pytest

PERIOD = 30


class Device:
    """A virtual device; every code is newer than the one before."""

    def __init__(self, base32_seed: str) -> None:
        self._seed = base32_seed
        self._next = int(time.time()) // PERIOD - 1

    def code(self) -> str:
        made = oath_code(self._seed, self._next * PERIOD)
        self._next += 1
        return made

    def pair(self) -> dict[str, str]:
        """Two consecutive codes, the second one of now."""
        return {"AuthenticationCode1": self.code(), "AuthenticationCode2": self.code()}


def oath_code(base32_seed: str, at: int, period: int = PERIOD) -> str:
    """The code that `oathtool` shows at a time."""
    program = shutil.which("oathtool")
    if program is None:
        pytest.skip("oathtool is not installed")
    done = subprocess.run(
        [
            *(program, "--totp", "--base32", f"--time-step-size={period}s"),
            *(f"--now=@{at}", "-"),
        ],
        input=base32_seed + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
