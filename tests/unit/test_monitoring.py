"""The metrics reference, the alerts and the dashboard name metrics that exist."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from broker.edges.metrics import Metrics

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples" / "monitoring"
METRIC = re.compile(r"\bbroker_[a-z_]+")


@pytest.fixture(scope="module")
def families() -> dict[str, Any]:
    """By the names that the reference uses."""
    metrics = Metrics(("/console",))
    metrics.observe_request("/console/", {}, 200, 0.01)
    metrics.observe_ledger("mint", "ok")
    metrics.observe_decision("allowed")
    up = {"database": True, "cache": True}
    text = metrics.exposition(up, {"OIDCPAAAA": 1.5}).decode()
    return {
        family.name + "_total" * (family.type == "counter"): family
        for family in text_string_to_metric_families(text)
        if family.name.startswith("broker_")
    }


@pytest.fixture(scope="module")
def names(families: dict[str, Any]) -> set[str]:
    """As queries use them."""
    return {sample.name for family in families.values() for sample in family.samples}


def test_the_reference_describes_every_metric(families: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(broker_\w+)` \| (\w+) \| (.*?) \|", text, re.MULTILINE)
    described = {
        name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows
    }
    assert described == {
        name: (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for name, family in families.items()
    }


def test_the_reference_describes_every_alert() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(Broker\w+)` \|", text, re.MULTILINE)
    assert rows == [rule["alert"] for rule in alerts()]


def test_alerts_use_metrics_that_exist(names: set[str]) -> None:
    used = {name for rule in alerts() for name in METRIC.findall(rule["expr"])}
    assert used
    assert used <= names


def test_the_dashboard_uses_metrics_that_exist(names: set[str]) -> None:
    used = {name for query in queries() for name in METRIC.findall(query)}
    assert used
    assert used <= names


def test_every_alert_is_tested() -> None:
    tests = yaml.safe_load((SAMPLES / "alerts-test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in alerts()}


def test_prometheus_accepts_the_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", "alerts-test.yml")


def test_prometheus_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries())
    ]
    assert len(rules) > 5
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((SAMPLES / "alerts.yml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard() -> dict[str, Any]:
    made: dict[str, Any] = json.loads((SAMPLES / "dashboard.json").read_text())
    return made


def queries() -> list[str]:
    return [
        target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]
    ]


def promtool(*words: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        assert os.environ.get("CI") != "true", "promtool is missing"
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [program, *words], cwd=SAMPLES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
