"""`manage.py endpoints`: list, apply, add, remove, drain, enable, disable."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from balancing import declared, services
from balancing.admin.listing import joined
from balancing.endpoints.registry import unreadable
from balancing.live.occupancy import slots_in_use
from balancing.models import Endpoint
from balancing.prices import wrong_prices

MOVES: dict[str, Callable[..., None]] = {
    "drain": services.drain,
    "enable": services.enable,
    "disable": services.disable,
    "remove": services.delete,
}
COLUMNS = ("name", "state", "slots", "models", "managed by", "base url", "note")


class Command(BaseCommand):
    help = "The servers that answer: list them, change them, or apply a file of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="every endpoint, and the slots in use")
        listing.add_argument("--json", action="store_true", help="one JSON array")
        applying = actions.add_parser("apply", help="have the endpoints of a YAML file")
        applying.add_argument("file", type=Path, help="a list, or `endpoints:` and a list")
        applying.add_argument(
            "--prune", action="store_true", help="delete what an earlier file made and this has not"
        )
        applying.add_argument("--dry-run", action="store_true", help="only say what would be done")
        adding = actions.add_parser("add", help="register an endpoint, or change one")
        adding.add_argument("name")
        adding.add_argument("base_url", help="up to and including /v1")
        adding.add_argument("--model", action="append", default=[], help="may be repeated")
        adding.add_argument("--discover-models", action="store_true", help="ask its /v1/models")
        adding.add_argument("--dns", action="store_true", help="a server at each address")
        adding.add_argument("--slots", type=int, help="requests at once")
        adding.add_argument("--weight", type=float)
        adding.add_argument("--api-key-variable", help="the workers' variable with its credential")
        for name in MOVES:
            actions.add_parser(name).add_argument("names", nargs="+", metavar="name")

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        if action == "list":
            self._list(options["json"])
        elif action == "apply":
            self._apply(options)
        elif action == "add":
            self._add(options)
        else:
            self._move(action, options["names"])

    def _list(self, as_json: bool) -> None:
        rows = list(Endpoint.objects.select_related("group"))
        used = slots_in_use([row.pk for row in rows])
        table = [_shown(row, used.get(row.pk)) for row in rows]
        if as_json:
            self.stdout.write(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in table]))
            return
        widths = [max(len(row[n]) for row in (COLUMNS, *table)) for n in range(len(COLUMNS))]
        for row in (COLUMNS, *table):
            line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            self.stdout.write(line.rstrip())

    def _apply(self, options: dict[str, Any]) -> None:
        try:
            entries = declared.read(options["file"])
            changes = declared.apply(entries, prune=options["prune"], dry_run=options["dry_run"])
        except declared.DeclarationError as error:
            raise CommandError(str(error)) from None
        for change in changes:
            self.stdout.write(str(change))
        if options["dry_run"]:
            self.stdout.write("nothing was changed")

    def _add(self, options: dict[str, Any]) -> None:
        given = {
            "max_concurrent": options["slots"],
            "weight": options["weight"],
            "api_key_variable": options["api_key_variable"],
        }
        fields = {name: value for name, value in given.items() if value is not None}
        fields["discover_models"] = options["discover_models"]
        fields["discover"] = Endpoint.Discover.DNS if options["dns"] else Endpoint.Discover.NO
        try:
            row = services.register(
                name=options["name"],
                base_url=options["base_url"],
                model_names=options["model"],
                **fields,
            )
        except ValidationError as error:
            texts = [f"{name}: {' '.join(why)}" for name, why in error.message_dict.items()]
            raise CommandError("; ".join(texts)) from None
        self.stdout.write(f"{row.name} is registered")

    def _move(self, action: str, names: list[str]) -> None:
        rows = {row.name: row.pk for row in Endpoint.objects.filter(name__in=names)}
        if unknown := [name for name in names if name not in rows]:
            raise CommandError(f"no such endpoint: {', '.join(unknown)}")
        for name in names:
            MOVES[action](endpoint_id=rows[name])
            self.stdout.write(f"{action}: {name}")


def _shown(row: Endpoint, used: int | None) -> tuple[str, ...]:
    is_group = row.discover == Endpoint.Discover.DNS
    slots = "group" if is_group else f"{'-' if used is None else used}/{row.max_concurrent}"
    state = f"{row.state}, gone" if row.vanished_at else row.state
    reason = unreadable(row)
    return (
        row.name,
        f"{state}, unreadable" if reason else state,
        slots,
        joined(row.model_names, ",") or "-",
        row.managed_by or "hand",
        row.base_url,
        reason or wrong_prices(row.prices) or row.refresh_error or "-",
    )
