"""The embedded broker's class path: Maven artefacts pinned by SHA-256, fetched once, verified each time they are used.

The pins are in `kafka_jars.sha256` beside this file, so the trusted root is in the repository and not in the cache:
whoever can change a cached jar could change a lock file beside it too.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KAFKA: Final = "org.apache.kafka:kafka_2.13:4.4.0"
PINS: Final = Path(__file__).with_name("kafka_jars.sha256")
DOWNLOADS_AT_ONCE: Final = 6
ATTEMPTS: Final = 3


class JarRefused(Exception):
    """A jar is not the one that is pinned, or cannot be had; nothing was started."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One artefact, `group:artefact:version`, and the only content that is accepted for it."""

    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache, as Maven spells it."""
        _, artefact, version = self.coordinate.split(":")
        return f"{artefact}-{version}.jar"


def default_directory() -> Path:
    """One cache for each user, shared by all data directories and check-outs."""
    return Path.home() / ".cache" / "homeostat" / "jars"


def pins() -> tuple[Pin, ...]:
    """What the class path must be, in order."""
    lines = (line.split() for line in PINS.read_text(encoding="utf-8").splitlines() if line)
    return tuple(Pin(coordinate, sha256) for sha256, coordinate in lines)


def class_path(directory: Path | None = None) -> tuple[Path, ...]:
    """Every pinned jar, verified now; what is missing is fetched first. Raises JarRefused."""
    root = default_directory() if directory is None else directory
    wanted = pins()
    fetch(root, [pin for pin in wanted if not (root / pin.file_name).exists()])
    for pin in wanted:
        _verify(root / pin.file_name, pin)
    return tuple(root / pin.file_name for pin in wanted)


def fetch(root: Path, missing: Sequence[Pin]) -> None:
    """Fetch jars and put those that verify in place, each by a rename, so that concurrent starts do no harm."""
    if not missing:
        return
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=root, prefix="fetching-") as scratch, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for pin, path in zip(missing, pool.map(lambda pin: _download(Path(scratch), pin), missing), strict=True):
            _verify(path, pin)
            path.replace(root / pin.file_name)


def _download(scratch: Path, pin: Pin) -> Path:
    """The artefact through jgo (pure Python, no Maven), into a repository of this call's own."""
    import requests
    from jgo.maven import MavenContext

    failure: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            return _artefact(MavenContext(repo_cache=scratch, timeout=60), pin.coordinate)
        except (requests.RequestException, OSError, RuntimeError, ValueError) as error:
            failure = error
    raise JarRefused(
        f"could not fetch {pin.coordinate} from Maven Central ({failure}). Check the network or the proxy settings, "
        "or use an existing cluster by its bootstrap servers."
    ) from failure


def _artefact(context: object, coordinate: str) -> Path:
    from jgo.parse import Coordinate

    path: Path = context.create_dependency(Coordinate.parse(coordinate)).artifact.resolve()  # type: ignore[attr-defined]  # jgo has no type stubs
    return path


def _verify(path: Path, pin: Pin) -> None:
    seen = _sha256(path)
    if seen != pin.sha256:
        raise JarRefused(
            f"{path} is not the pinned {pin.coordinate}: its SHA-256 is {seen}, wanted {pin.sha256}. "
            "Find out who changed it, then delete the file; the next start fetches it again."
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def repin(kafka: str = KAFKA) -> None:
    """Resolve the broker anew and rewrite the pins: for whoever raises the version, never at run time."""
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch), timeout=60)
        direct, transitive = context.resolver.resolve([context.create_dependency(Coordinate.parse(kafka))])
        artefacts = [dependency.artifact for dependency in direct]
        artefacts += [dependency.artifact for dependency in transitive if dependency.scope in ("compile", "runtime")]
        names = {f"{artefact.groupId}:{artefact.artifactId}:{artefact.version}" for artefact in artefacts}
        names.add(_log_binding(names))
        lines = [f"{_sha256(_artefact(context, name))}  {name}\n" for name in sorted(names)]
    PINS.write_text("".join(lines), encoding="utf-8")


def _log_binding(names: Iterable[str]) -> str:
    """Kafka names no SLF4J binding as a dependency: without this jar the broker would log nothing."""
    version = next(name.rsplit(":", 1)[1] for name in names if ":log4j-core:" in name)
    return f"org.apache.logging.log4j:log4j-slf4j-impl:{version}"
