"""The rules of the layout, read off the source: where I/O may live, where names may stand, what is never done."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from streams import metric_names, topics

ROOT = Path(__file__).parent.parent
PACKAGES = ("streams", "drift", "trainer", "serving", "config", "homeostat")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
CORE = [
    path for path in SOURCES if "adapters" not in path.parts and path.relative_to(ROOT).parts[0] not in {"config", "homeostat"}
]
PURE_OF_HOMEOSTAT = [
    ROOT / "homeostat" / f"{name}.py" for name in ("loop", "model_state", "control_fold", "rollout_flow", "training_flow")
]
IMPURE = {
    "os", "sys", "time", "socket", "threading", "subprocess", "asyncio", "logging", "random", "pathlib", "signal", "shutil", "tempfile",
    "confluent_kafka", "kafka", "faust", "aiokafka", "ray", "uvicorn", "httpx", "requests", "prometheus_client", "pyarrow", "psutil",
}  # fmt: skip
CLIENTS = {"confluent_kafka": "confluent", "kafka": "kafka_python", "faust": "faust_app"}


def imports_of(path: Path) -> set[str]:
    """Top-level names of everything a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", CORE + PURE_OF_HOMEOSTAT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_no_io(path: Path) -> None:
    """No clock, environment, network, disk, thread or log in the core."""
    assert imports_of(path) & IMPURE == set()


@pytest.mark.parametrize("path", CORE + PURE_OF_HOMEOSTAT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_reads_no_clock(path: Path) -> None:
    """Time is an argument or rides on the event."""
    calls = [
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert not {"now", "utcnow", "today"} & set(calls)


@pytest.mark.parametrize(("library", "home"), sorted(CLIENTS.items()))
def test_each_kafka_client_lives_in_its_adapter(library: str, home: str) -> None:
    """Three clients, each in the adapter named for it and the files split off it (topic administration beside it)."""
    users = {path.stem for path in SOURCES if library in imports_of(path)}
    assert home in users
    assert all(user.startswith(home) or user == "topic_admin" for user in users), users


def test_nothing_is_unpickled() -> None:
    """No pickle, joblib or cloudpickle anywhere in the packages."""
    for path in SOURCES:
        assert imports_of(path) & {"pickle", "joblib", "cloudpickle", "dill", "shelve"} == set(), path


def test_topic_names_stand_in_one_place() -> None:
    """No other file writes a topic's name as a string of its own."""
    for path in SOURCES:
        if path == ROOT / "streams" / "topics.py":
            continue
        strings = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert {topics.DEAD_LETTERS, topics.SNAPSHOTS} & strings == set(), path


def test_metric_names_stand_in_one_place_and_are_in_use() -> None:
    """Every metric has help and a user, and no other file writes a metric's name."""
    assert len({metric.name for metric in metric_names.ALL}) == len(metric_names.ALL)
    text = {path: path.read_text() for path in SOURCES if path.name != "metric_names.py"}
    constants = {value.name: name for name, value in vars(metric_names).items() if isinstance(value, metric_names.Metric)}
    for metric in metric_names.ALL:
        assert metric.help.endswith(".")
        assert not any(f'"{metric.name}"' in body for body in text.values()), metric.name
        assert any(re.search(rf"\b{constants[metric.name]}\b", body) for body in text.values()), f"{metric.name} is never set"


def test_the_environment_is_read_in_one_place() -> None:
    """Only config/settings.py looks at the environment; roles may pass one on to a child process."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if re.search(r"os\.(environ\.get|getenv)|os\.environ\[[^]]+\](?!\s*=)", path.read_text())
    }
    assert readers <= {"config/settings.py"}


def test_files_are_short_enough_to_hold_one_concept() -> None:
    """Over 300 lines there are two concepts in it (vocabulary files list many of one kind)."""
    lists = {"events.py", "metric_names.py"}
    long = {
        path.relative_to(ROOT).as_posix(): n
        for path in SOURCES
        if (n := len(path.read_text().splitlines())) > 300 and path.name not in lists
    }
    assert long == {}
