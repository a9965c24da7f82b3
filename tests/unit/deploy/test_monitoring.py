"""Dashboards and alerts ask for figures that the code serves."""

import json
import re

import yaml

from llmqueue_project.config import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "llmqueue.json"
APPS = ("llmqueue_project", "conversations", "scheduling", "balancing", "stores")
SUFFIXES = ("_bucket", "_sum", "_count", "_total")


def asked(text: str) -> set[str]:
    """Names of our metrics in expressions, without the suffixes of histograms and counters."""
    names = set(re.findall(r"\bllmqueue_[a-z_]+", text))
    for suffix in SUFFIXES:
        names = {name.removesuffix(suffix) for name in names}
    return names


def defined(source: str) -> set[str]:
    """Names of our metrics that a module makes."""
    made = r"""(?:Counter|Gauge|Histogram|GaugeMetricFamily)\(\s*"(llmqueue_[a-z_]+)"""
    return set(re.findall(made, source))


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [
        *(target["expr"] for panel in panels for target in panel.get("targets", [])),
        *(rule["expr"] for group in rules for rule in group["rules"]),
    ]


def test_every_figure_asked_for_is_served() -> None:
    sources = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    served = set().union(*(defined(path.read_text(encoding="utf-8")) for path in sources))

    wanted = set().union(*(asked(expression) for expression in expressions()))

    assert wanted
    assert wanted <= served


def test_the_documentation_lists_every_figure_asked_for() -> None:
    listed = asked((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))

    assert set().union(*(asked(expression) for expression in expressions())) <= listed


def test_panels_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
