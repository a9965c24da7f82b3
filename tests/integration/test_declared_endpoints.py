"""Endpoints from a file: applied, changed, pruned, refused, and by command."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from balancing import declared, services
from balancing.declared import DeclarationError, apply
from balancing.models import Endpoint
from llmqueue_project.config import configuration

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

GPU: dict[str, Any] = {"name": "gpu", "base_url": "http://gpu/v1", "models": ["m"], "weight": 2}
CPU: dict[str, Any] = {"name": "cpu", "base_url": "http://cpu/v1", "models": ["m", "n"]}
# Empty values of another kind than the field's own, as YAML has them.
FOREIGN: dict[str, list[Any]] = {
    "extra_headers": [[], "", None, 0, False],
    "prices": [[], "", None],
    "model_aliases": [[], "", None],
    "apis": [{}, "", None],
    "api_key_variable": [[], {}, None],
    "proxy_url": [[], {}, None],
    "discover": [[], {}, None],
    "connect_timeout": [[], {}, ""],
}


def actions(changes: list[declared.Change]) -> dict[str, str]:
    return {change.name: change.action for change in changes}


class TestApply:
    def test_is_idempotent(self) -> None:
        first, second = apply([GPU, CPU]), apply([GPU, CPU])

        assert actions(first) == {"gpu": "added", "cpu": "added"}
        assert actions(second) == {"gpu": "unchanged", "cpu": "unchanged"}
        row = Endpoint.objects.get(name="gpu")
        assert (row.managed_by, row.weight, row.model_names) == ("file", 2.0, ["m"])

    def test_changes_what_differs_and_says_what(self) -> None:
        apply([GPU])

        (change,) = apply([GPU | {"weight": 3, "max_concurrent": 2}])

        assert (change.action, change.fields) == ("changed", ("max_concurrent", "weight"))
        assert Endpoint.objects.get().weight == 3

    def test_what_the_file_leaves_out_has_its_default(self) -> None:
        apply([GPU | {"prices": {"*": {"input": 1}}}])

        apply([{name: value for name, value in GPU.items() if name != "weight"}])

        row = Endpoint.objects.get()
        assert (row.weight, row.prices) == (1.0, {})

    def test_the_state_is_the_operators_unless_the_file_names_it(self) -> None:
        apply([GPU])
        services.drain(endpoint_id=Endpoint.objects.get().pk)

        assert actions(apply([GPU])) == {"gpu": "unchanged"}
        assert Endpoint.objects.get().state == "draining"
        apply([GPU | {"state": "enabled"}])
        assert Endpoint.objects.get().state == "enabled"

    @pytest.mark.parametrize(
        ("column", "value"),
        [("extra_headers", []), ("apis", 5), ("model_names", 5), ("base_url", "http://[")],
    )
    def test_a_row_that_cannot_be_read_is_mended(self, column: str, value: Any) -> None:
        apply([GPU])
        Endpoint.objects.update(**{column: value})

        (change,) = apply([GPU])

        assert (change.action, change.fields) == ("changed", (column,))

    def test_a_row_made_by_hand_is_taken_over(self) -> None:
        services.register(name="gpu", base_url="http://old/v1", model_names=["x"])

        (change,) = apply([GPU])

        assert change.action == "changed"
        assert Endpoint.objects.get().managed_by == "file"

    def test_prune_deletes_only_what_a_file_made(self) -> None:
        services.register(name="mine", base_url="http://mine/v1", model_names=["x"])
        apply([GPU, CPU])

        assert actions(apply([GPU])) == {"gpu": "unchanged", "cpu": "left"}
        assert actions(apply([GPU], prune=True)) == {"gpu": "unchanged", "cpu": "pruned"}
        assert set(Endpoint.objects.values_list("name", flat=True)) == {"gpu", "mine"}

    def test_a_dry_run_says_and_does_nothing(self) -> None:
        apply([CPU])

        changes = apply([GPU], prune=True, dry_run=True)

        assert actions(changes) == {"gpu": "added", "cpu": "pruned"}
        assert [row.name for row in Endpoint.objects.all()] == ["cpu"]

    def test_models_found_meanwhile_stay(self) -> None:
        entry = {"name": "gpu", "base_url": "http://gpu/v1", "discover_models": True}
        apply([entry])
        Endpoint.objects.update(model_names=["found"])

        assert actions(apply([entry])) == {"gpu": "unchanged"}
        assert Endpoint.objects.get().model_names == ["found"]

    @pytest.mark.parametrize(
        ("entries", "text"),
        [
            ([5], "endpoint 1: a mapping with a name"),
            ([{"base_url": "http://x"}], "endpoint 1: a mapping with a name"),
            ([GPU, GPU], "endpoint 2: gpu is named twice"),
            ([CPU, GPU | {"colour": 1}], r"endpoint 2 \(gpu\): unknown: colour"),
            ([GPU | {"managed_by": "dns"}], "unknown: managed_by"),
            ([GPU | {"state": "gone"}], "state: one of"),
            ([GPU | {"models": []}], "models: List at least one"),
            ([GPU | {"weight": "heavy"}], "weight"),
            ([GPU | {"weight": 10**400}], r"endpoint 1 \(gpu\)"),
            ([GPU | {5: 1, "colour": 1}], "unknown: 5, colour"),
            ([GPU | {"credential": "x" * 20}], "unknown: credential$"),
            ([GPU | {"base_url": "ftp://x"}], "base_url: Enter an http"),
            ([GPU | {"prices": {"m": {"inputs": 1}}}], "prices: m: input, output"),
            ([GPU | {"model_aliases": {"x": "m"}}], "model_aliases: Not among the models"),
            *(
                ([CPU, GPU | {field: value}], rf"endpoint 2 \(gpu\): {field}: Enter ")
                for field, values in FOREIGN.items()
                for value in values
            ),
            ([CPU, GPU | {"prices": 0}], r"endpoint 2 \(gpu\): prices: A JSON object"),
            ([CPU, GPU | {"state": []}], r"endpoint 2 \(gpu\): state: one of"),
            ([CPU, GPU | {"extra_headers": {1: "x"}}], r"\(gpu\): extra_headers: '1' is not"),
            ([CPU, GPU | {"prices": {1: {"input": 1}}}], r"\(gpu\): prices: Model names"),
            ([CPU, GPU | {"weight": None}], r"\(gpu\): weight: "),
            ([GPU | {"max_concurrent": "4"}], "max_concurrent: Enter a whole number"),
            ([GPU | {"max_concurrent": True}], "max_concurrent: Enter a whole number"),
            ([GPU | {"max_concurrent": 4.0}], "max_concurrent: Enter a whole number"),
            ([GPU | {"weight": True}], "weight: Enter a number"),
            ([GPU | {"verify_tls": "no"}], "verify_tls: Enter true or false"),
        ],
    )
    def test_a_mistake_changes_nothing_and_is_named(self, entries: list[Any], text: str) -> None:
        with pytest.raises(DeclarationError, match=text):
            apply(entries)

        assert not Endpoint.objects.exists()


class TestConfigured:
    def use(self, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
        config = configuration().model_copy(update=fields)
        monkeypatch.setattr(declared, "configuration", lambda: config)

    def test_the_section_is_applied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.use(monkeypatch, endpoints=[GPU])

        assert actions(declared.apply_configured()) == {"gpu": "added"}

    def test_a_file_and_prune(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        apply([CPU])
        path = tmp_path / "endpoints.yaml"
        path.write_text("- name: gpu\n  base_url: http://gpu/v1\n  models: [m]\n")
        self.use(monkeypatch, endpoints_file=path, endpoints_prune=True)

        assert actions(declared.apply_configured()) == {"gpu": "added", "cpu": "pruned"}

    @pytest.mark.parametrize(
        "mistake", [{"colour": 1}, {"extra_headers": None}, {"prices": ""}, {"state": []}]
    )
    def test_a_mistake_stops_nothing(
        self, monkeypatch: pytest.MonkeyPatch, mistake: dict[str, Any]
    ) -> None:
        self.use(monkeypatch, endpoints=[GPU | mistake])

        assert declared.apply_configured() == []
        assert not Endpoint.objects.exists()

    @pytest.mark.parametrize("wrong", [GPU | {"colour": 1}, GPU | {"base_url": "x"}, 5, CPU])
    def test_a_wrong_entry_leaves_out_itself_only(
        self, monkeypatch: pytest.MonkeyPatch, wrong: Any
    ) -> None:
        """Nothing is pruned then: a wrong entry may be one that was declared before."""
        apply([GPU])
        self.use(monkeypatch, endpoints=[CPU, wrong], endpoints_prune=True)

        assert actions(declared.apply_configured())["cpu"] == "added"
        assert set(Endpoint.objects.values_list("name", flat=True)) == {"cpu", "gpu"}


class TestCommand:
    def run(self, *words: str) -> str:
        out = StringIO()
        call_command("endpoints", *words, stdout=out)
        return out.getvalue()

    def test_add_list_drain_and_remove(self) -> None:
        self.run("add", "gpu", "http://gpu/v1", "--model", "m", "--slots", "3")
        self.run("drain", "gpu")

        (row,) = json.loads(self.run("list", "--json"))
        assert (row["name"], row["state"], row["models"]) == ("gpu", "draining", "m")
        assert row["slots"].endswith("/3")
        assert "gpu   draining" in self.run("list")
        self.run("enable", "gpu")
        assert Endpoint.objects.get().state == "enabled"
        self.run("remove", "gpu")
        assert not Endpoint.objects.exists()

    def test_the_list_tells_of_a_price_that_is_none(self) -> None:
        self.run("add", "gpu", "http://gpu/v1", "--model", "m")
        Endpoint.objects.update(prices={"m": {"input": "dear"}})

        (row,) = json.loads(self.run("list", "--json"))

        assert (row["state"], row["note"]) == (
            "enabled",
            "m: prices are numbers from 0 to 1,000,000",
        )

    def test_apply(self, tmp_path: Path) -> None:
        path = tmp_path / "endpoints.yaml"
        path.write_text(json.dumps({"endpoints": [GPU]}))

        assert "nothing was changed" in self.run("apply", str(path), "--dry-run")
        assert not Endpoint.objects.exists()
        assert self.run("apply", str(path)) == "added     gpu\n"

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ("{", "endpoints.yaml"),
            ("a: 1", "a list of endpoints"),
            ("- name: x", "base_url"),
            (
                "- {name: x, base_url: http://x/v1, models: [m], extra_headers: []}",
                r"endpoint 1 \(x\): extra_headers: Enter an object, or {} for none",
            ),
            (
                "- name: x\n  base_url: http://x/v1\n  models: [m]\n  prices:\n",
                r"endpoint 1 \(x\): prices: Enter an object, or {} for none",
            ),
        ],
    )
    def test_a_bad_file_is_one_clear_error(self, tmp_path: Path, content: str, text: str) -> None:
        path = tmp_path / "endpoints.yaml"
        path.write_text(content)

        with pytest.raises(CommandError, match=text):
            self.run("apply", str(path))

    def test_bad_words_are_clear_errors(self) -> None:
        with pytest.raises(CommandError, match="no such endpoint: x"):
            self.run("drain", "x")
        with pytest.raises(CommandError, match="base_url"):
            self.run("add", "x", "nonsense", "--model", "m")
