"""The example in the docs runs as it stands, prints what the docs say, and needs nothing but the core."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from homeostat.policy_file import load_policy

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "when-to-retrain.md").read_text()
OUTSIDE = ("confluent_kafka", "kafka", "faust", "ray", "pyarrow", "xgboost", "aiokafka")


def block(language: str) -> str:
    """The one code block in that language; '' is plain text."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_example_prints_what_the_docs_say() -> None:
    """In order, a training soon after the jump at period 60; shuffled, none."""
    printed = run(block("python"))
    said = re.search(r"It prints\n\n```\n(.*?)```", TEXT, re.DOTALL)
    assert said is not None
    assert printed == said[1]
    bought = int(printed.split()[2])
    assert 60 <= bought <= 70
    assert printed.split()[-1] == "None"


def test_the_rule_imports_neither_kafka_nor_ray_nor_faust() -> None:
    """The modules that a library's user imports, in a fresh interpreter; the client's own adapter is the control."""
    of = "import sys; import {}; print(sorted(set(sys.modules) & set({!r})))"
    assert run(of.format("drift.staleness, drift.noise_replay", OUTSIDE)) == "[]\n"
    assert "confluent_kafka" in run(of.format("streams.adapters.confluent", OUTSIDE))


def test_the_policy_in_the_docs_is_one(tmp_path: Path) -> None:
    """A training costs 70 errors there, as the docs say."""
    text = block("toml")
    assert tomllib.loads(text)["staleness"]["retrain_cost"] == "3.50 EUR"
    file = tmp_path / "policy.toml"
    file.write_text(text)
    assert load_policy(file).staleness.price_errors == 70.0
