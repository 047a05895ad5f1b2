"""The one place that reads configuration and environment.

Order: `homeostat.toml` in the data directory, then HOMEOSTAT_* variables, then what the command line says.
Anything unknown is a start-up error that lists what is valid.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from streams import crash_points

ENVIRONMENT_PREFIX = "HOMEOSTAT_"
FILE_NAME = "homeostat.toml"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a role needs to know of its surroundings. Ports 0: chosen by the supervisor and written back."""

    data: str = "homeostat-data"
    """Directory of everything that is kept: broker, lake, store, caches, logs."""
    bootstrap_servers: str = ""
    """An existing Kafka cluster; empty: the embedded broker, whose address the supervisor writes here."""
    broker_port: int = 0
    """Port of the embedded broker; 0: none yet, the supervisor chooses one. Not 0: bootstrap_servers is that broker's."""
    tick_ms: int = 1_000
    """Longest stretch of broker time in one window."""
    lake_tick_ms: int = 60_000
    """Longest stretch of broker time in one lake file; a multiple of tick_ms."""
    serving_host: str = "127.0.0.1"
    serving_port: int = 8080
    monitor_port: int = 0
    agents_port: int = 0
    control_port: int = 0
    standby_port: int = 0
    trainer_port: int = 0
    """Ports of metrics and positions of each role, loopback only."""
    standby: bool = True
    """Run a second controller, which leads half of `control` and takes over the other half when the first is gone."""
    shadow_wait_ms: float = 2.0
    """How long an answer waits for arms that do not answer it."""
    deadline_ms: float = 200.0
    """How long the candidate may take before the champion answers in its place."""
    label_horizon_days: float = 30.0
    """Labels of older predictions are refused."""
    ray_address: str = ""
    """An existing Ray cluster; empty: a local one."""
    ray_cpus: int = 1
    producer_queue_mib: int = 64
    """Prediction events held for the broker while it is away; more are dropped, counted and alarmed."""
    seed: int = 0
    crash_at: str = ""
    """Tests only: the process kills itself at that point of streams/crash_points.py, once per data directory."""

    @property
    def root(self) -> Path:
        """The data directory."""
        return Path(self.data)

    @property
    def embedded(self) -> bool:
        """Whether the log is the embedded broker's, and no other cluster's."""
        return not self.bootstrap_servers or self.broker_port != 0

    @property
    def store(self) -> Path:
        """Content-addressed store of releases, contracts, run cards, datasets."""
        return self.root / "store"

    @property
    def lake(self) -> Path:
        """Parquet files of predictions and labels."""
        return self.root / "lake"

    @property
    def mirror(self) -> Path:
        """Per model its newest state and what was decided: from here `homeostat restore` makes a lost log anew."""
        return self.root / "mirror"

    @property
    def broker(self) -> Path:
        """The embedded broker: its log and all that it needs."""
        return self.root / "broker"

    @property
    def secret_file(self) -> Path:
        """Key that seals prediction ids and hashes entities; made on first start, mode 0600."""
        return self.root / "secret.key"

    @property
    def crashed(self) -> Path:
        """The points at which tests have had a process killed here."""
        return self.root / "crashed"

    @property
    def policies(self) -> Path:
        """One TOML file per model, where a person keeps its policy as one."""
        return self.root / "policies"

    @property
    def logs(self) -> Path:
        """One log file per role."""
        return self.root / "logs"


class ConfigurationError(Exception):
    """The configuration cannot be used; the message says what was seen, what was wanted, what to do."""


def load(data: str, environment: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Settings of the data directory `data`. Raises ConfigurationError."""
    variables = os.environ if environment is None else environment
    values = _in_file(data)
    names = {field.name for field in msgspec.structs.fields(Settings)}
    for variable, text in variables.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            values[variable.removeprefix(ENVIRONMENT_PREFIX).lower()] = text
    values.update(overrides or {})
    values["data"] = str(Path(data).absolute())
    unknown = sorted(set(values) - names)
    if unknown:
        raise ConfigurationError(f"unknown setting {', '.join(unknown)}; valid are: {', '.join(sorted(names))}.")
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"a setting has the wrong type: {error}.") from error
    if settings.tick_ms < 1 or settings.lake_tick_ms % settings.tick_ms:
        raise ConfigurationError(
            f"lake_tick_ms must be a multiple of tick_ms, got {settings.lake_tick_ms} and {settings.tick_ms}."
        )
    if settings.crash_at and settings.crash_at not in crash_points.ALL:
        raise ConfigurationError(f"unknown crash_at {settings.crash_at!r}; valid are: {', '.join(crash_points.ALL)}.")
    return settings


def load_chosen(data: str, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings as the supervisor of this directory wrote them: a port 0 in the environment asked it for any, and it chose one.

    Raises ConfigurationError.
    """
    variables = os.environ if environment is None else environment
    written = _in_file(data)
    other_cluster = bool(variables.get(f"{ENVIRONMENT_PREFIX}BOOTSTRAP_SERVERS"))

    def asks_for_any(variable: str, text: str) -> bool:
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name == "broker_port" and other_cluster:
            return False  # there 0 says that no broker is ours
        return name.endswith("_port") and text.strip() == "0" and bool(written.get(name))

    return load(data, {variable: text for variable, text in variables.items() if not asks_for_any(variable, text)})


def _in_file(data: str) -> dict[str, object]:
    path = Path(data) / FILE_NAME
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}. Mend the line it names.") from error


def write(settings: Settings) -> None:
    """Write the settings beside the data, so that every role and the next start read the same."""
    settings.root.mkdir(parents=True, exist_ok=True)
    lines = []
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        if field.name != "data":
            lines.append(f"{field.name} = {msgspec.json.encode(value).decode()}")
    (settings.root / FILE_NAME).write_text("\n".join(lines) + "\n")
