"""A Ceph Object Gateway over the smallest cluster that carries one, in memory.

One monitor and one OSD that keeps its objects in memory; each listens on loopback.
"""

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.support.servers import find_free_port

PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool")
_READY_SECONDS = 60
_CAPABILITIES = {
    "mon.": ["mon", "allow *"],
    "client.admin": ["mon", "allow *", "osd", "allow *", "mgr", "allow *"],
    "osd.0": ["mon", "allow profile osd", "osd", "allow *"],
    "client.rgw": ["mon", "allow rw", "osd", "allow rwx"],
}
_CLASSES = "/usr/lib/*/rados-classes"


@dataclass(frozen=True)
class Gateway:
    """Where it answers, and what its command-line tools need to find it."""

    url: str
    environment: dict[str, str]
    log: Path


@contextmanager
def radosgw(folder: Path, **settings: str) -> Iterator[Gateway]:
    """A gateway with STS and more settings, which ends with its cluster."""
    monitor, port = find_free_port(), find_free_port()
    cluster = str(uuid4())
    for name in ("run", "mon", "osd", "crash"):
        (folder / name).mkdir(parents=True)
    file = folder / "ceph.conf"
    more = "".join(f"{name} = {value}\n" for name, value in settings.items())
    file.write_text(_settings(folder, cluster, monitor, port) + more)
    url = f"http://127.0.0.1:{port}"
    environment = {"CEPH_CONF": str(file)}
    keyring = str(folder / "keyring")
    for name, granted in _CAPABILITIES.items():
        made = [] if Path(keyring).exists() else ["--create-keyring"]
        pairs = zip(granted[::2], granted[1::2], strict=True)
        capabilities = [word for pair in pairs for word in ("--cap", *pair)]
        _run(
            ["ceph-authtool", keyring, *made, "--gen-key", "-n", name, *capabilities],
            environment,
        )
    address = f"[v2:127.0.0.1:{monitor}]"
    map_file = str(folder / "monmap")
    _run(
        ["monmaptool", "--create", "--addv", "a", address, "--fsid", cluster, map_file],
        environment,
    )
    _run(
        ["ceph-mon", "--mkfs", "-i", "a", "--monmap", map_file, "--keyring", keyring],
        environment,
    )
    with ExitStack() as stack:
        stack.enter_context(_running(["ceph-mon", "-f", "-i", "a"], environment))
        disk = str(uuid4())
        _run(["ceph", "--connect-timeout", "60", "osd", "new", disk], environment)
        _run(["ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk], environment)
        stack.enter_context(_running(["ceph-osd", "-f", "-i", "0"], environment))
        gateway = ["radosgw", "-f", "-n", "client.rgw"]
        process = stack.enter_context(_running(gateway, environment))
        _wait(url, process)
        yield Gateway(url, environment, folder / "client.rgw.log")


def _settings(folder: Path, cluster: str, monitor: int, port: int) -> str:
    """For a cluster of one: no copies, no placement by host, no managers."""
    (classes,) = Path("/").glob(_CLASSES[1:])
    return f"""[global]
fsid = {cluster}
mon_host = v2:127.0.0.1:{monitor}
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {folder}/keyring
run_dir = {folder}/run
log_file = {folder}/$name.log
admin_socket = {folder}/run/$name.asok
pid_file = {folder}/run/$name.pid
crash_dir = {folder}/crash
mon_data = {folder}/mon
mon_data_avail_crit = 0
mon_allow_pool_size_one = true
osd_data = {folder}/osd
osd_objectstore = memstore
osd_class_dir = {classes}
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_enable_apis = s3, sts, iam
rgw_sts_key = change-me-please
rgw_s3_auth_use_sts = true
"""


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        env={"PATH": "/usr/bin:/usr/sbin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")


@contextmanager
def _running(
    command: list[str], environment: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command,
        env={"PATH": "/usr/bin:/usr/sbin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        # Nothing in it is to be kept, and an orderly end takes long.
        process.kill()
        process.wait(20)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()  # it answers, if only that nobody is let in
            return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
