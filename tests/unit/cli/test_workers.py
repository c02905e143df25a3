"""How ``broker serve --workers N`` ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.broker import running_broker
from tests.support.servers import find_children

_FAILS = """
import uvicorn
from broker.cli.workers import Workers

if __name__ == "__main__":
    config = uvicorn.Config("nowhere:app", port=0, workers=2, log_level="critical")
    raise SystemExit(Workers(config).serve())
"""


def test_a_worker_that_cannot_start_is_told_by_the_exit_status(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text(_FAILS)
    done = subprocess.run([sys.executable, str(script)], check=False, timeout=120)
    assert done.returncode != 0


def test_workers_that_show_no_sign_of_life_do_not_hold_up_the_stop(
    tmp_path: Path,
) -> None:
    with running_broker(tmp_path, workers=2) as broker:
        assert broker.process is not None
        children = [
            child
            for child in find_children(broker.process.pid)
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        assert len(children) == 2
        for child in children:
            os.kill(child, signal.SIGSTOP)
        broker.process.send_signal(signal.SIGTERM)
        assert broker.process.wait(60) == 0
        assert not [child for child in children if Path(f"/proc/{child}").exists()]
        # None was taken for dead and started anew.
        assert "died" not in broker.log
