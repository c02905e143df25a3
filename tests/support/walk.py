"""Does what a page says: its commands are the test's input.

A ``console`` block holds commands behind ``$``; the lines below a command are what it
prints, with ``…`` for what differs from run to run (alone on a line: any lines).
Without such lines it only has to succeed. A block of another kind below a line that
ends with a file's name in backticks and a colon is that file.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.servers import find_children

_FENCE = re.compile(r"^(\s*)```(\w*)\s*$")
_FILE = re.compile(r"`([\w./-]+)`:\s*$")
_ANY = "…"


@dataclass(frozen=True, slots=True)
class Step:
    """A command with the output it should have, or a file to write."""

    place: str
    command: str = ""
    expected: str = ""
    file: str = ""
    content: str = ""


def read_steps(page: Path, *sections: str) -> list[Step]:
    """The steps below these headings (without ``#``), or of the whole page.

    Raises:
        ValueError: the page has no such heading.
    """
    steps: list[Step] = []
    seen: set[str] = set()
    heading, before = "", ""
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            if line.startswith("#"):
                heading = line.lstrip("# ")
                seen.add(heading)
            before = line if line.strip() else before
            continue
        block = list(_block(lines, fence[1]))
        if sections and heading not in sections:
            continue
        place = f"{page.name}:{number}"
        if fence[2] == "console":
            steps.extend(_commands(place, block))
        elif name := _FILE.search(before):
            content = "\n".join(block) + "\n"
            steps.append(Step(place, file=name[1], content=content))
        before = ""
    if missing := set(sections) - seen:
        raise ValueError(f"{page.name} has no {missing}")
    return steps


def _block(lines: Iterator[tuple[int, str]], indent: str) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == "```":
            return
        yield line.removeprefix(indent)


def _commands(place: str, block: list[str]) -> Iterator[Step]:
    command: list[str] = []
    output: list[str] = []
    for line in [*block, "$ "]:
        if command and command[-1].endswith("\\"):
            command.append(line)
        elif line.startswith("$ "):
            if command:
                text = "\n".join(output).strip()
                yield Step(place, command="\n".join(command), expected=text)
            command, output = [line[2:]], []
        else:
            output.append(line)


@dataclass
class Walk:
    """A shell in a folder of its own.

    ``instead`` are texts that stand for others here, such as the address of a server
    that only exists in the example. ``servers`` are the commands that keep running, by
    how they begin, with the address that answers once they are ready. Commands that
    begin like one of ``skipped`` are left out.
    """

    folder: Path
    environment: Mapping[str, str]
    instead: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, str] = field(default_factory=dict)
    skipped: Iterable[str] = ()
    _shell: "subprocess.Popen[str] | None" = None
    _started: dict[str, str] = field(default_factory=dict)

    def do(self, steps: Iterable[Step]) -> None:
        """Every step, in order; the first that differs fails."""
        for step in steps:
            if step.file:
                path = self.folder / self._here(step.file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._here(step.content), "utf-8")
            elif not self._here(step.command).startswith(tuple(self.skipped)):
                self._run(step)

    def run(self, command: str, *, where: str = "the test") -> str:
        """What a command prints; it must succeed."""
        assert self._shell is not None, "use `walking`"
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        mark = f"--end-of-{os.urandom(6).hex()}--"
        self._shell.stdin.write(
            f"{{ {command}\n}} 2>&1 </dev/null; status=$?; echo; echo {mark} $status\n"
        )
        self._shell.stdin.flush()
        output: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(mark):
                break
            output.append(line)
        else:
            raise AssertionError(f"{where}: the shell ended\n{''.join(output)}")
        text = "".join(output)
        assert line.split()[1] == "0", f"{where}: {command}\n{text}"
        return text.strip()

    def _run(self, step: Step) -> None:
        command = self._here(step.command)
        address = next(
            (
                ready
                for begin, ready in self.servers.items()
                if command.startswith(begin)
            ),
            None,
        )
        if address is not None:
            self._start(command, self._here(address), step.place)
            return
        printed = self.run(command, where=step.place)
        assert not step.expected or matches(self._here(step.expected), printed), (
            f"{step.place}: {command}\nprints\n{printed}\ninstead of\n{step.expected}"
        )

    def _start(self, command: str, address: str, place: str) -> None:
        """A server takes the place of the one before it at the same address."""
        if address in self._started:
            # The shell's child waits for the server, unless it has become it.
            pid = int(self._started[address])
            for each in find_children(pid) or [pid]:
                os.kill(each, signal.SIGTERM)
            self.run(f"wait {pid} || :")
        log = self.folder / f"server-{len(list(self.folder.glob('server-*')))}.log"
        ready = f"curl -sfk -o /dev/null --max-time 2 {address}"
        self.run(
            # The comment that may follow a command ends with its line.
            f"{{ {command}\n}} >{log} 2>&1 & server=$!\n"
            f"for _ in $(seq 3000); do {ready} && break; kill -0 $server || break;"
            f" sleep 0.2; done; {ready} || {{ cat {log}; false; }}",
            where=place,
        )
        self._started[address] = self.run("echo $server")

    def _here(self, text: str) -> str:
        for before, after in self.instead.items():
            text = text.replace(before, after)
        return text


def matches(expected: str, printed: str) -> bool:
    """Whether the output is as expected; white space at ends of lines is free."""
    pattern = "\n".join(
        r"(?:.*\n)*?.*"
        if line.strip() == _ANY
        else ".*".join(re.escape(part) for part in line.rstrip().split(_ANY))
        for line in expected.splitlines()
    )
    text = "\n".join(line.rstrip() for line in printed.splitlines())
    return re.fullmatch(pattern, text) is not None


@contextlib.contextmanager
def walking(walk: Walk, *, shares_network: bool = False) -> Iterator[Walk]:
    """With a shell; everything that it started ends with it.

    As root it has a network of its own, so that ports are free as on a new machine,
    unless it ``shares_network`` with servers of the test.
    """
    alone = ["unshare", "--net", "--"] if not shares_network and _may_unshare() else []
    process = subprocess.Popen(
        [*alone, "bash", "--norc", "--noprofile"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=walk.folder,
        env=dict(walk.environment),
        text=True,
        start_new_session=True,
    )
    walk._shell = process
    try:
        if alone:
            walk.run("ip link set lo up")
        yield walk
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)
        # The shell may be gone and a server not: nginx loses a signal while it starts.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        process.stdin.close()
        process.stdout.close()


def _may_unshare() -> bool:
    done = subprocess.run(
        ["unshare", "--net", "true"], capture_output=True, check=False
    )
    return done.returncode == 0
