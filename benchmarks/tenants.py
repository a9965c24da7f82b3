"""Tenants with an API key each: `python -m benchmarks.tenants alice bob` prints name -> key."""

from __future__ import annotations

import json
import os
import sys

import django


def main(names: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings")
    django.setup()
    from conversations.models import ApiKey, Tenant

    keys = {}
    for name in names:
        tenant, _ = Tenant.objects.get_or_create(name=name)
        keys[name] = ApiKey.objects.create_key(name="bench", tenant=tenant)[1]
    print(json.dumps(keys))


if __name__ == "__main__":
    main(sys.argv[1:])
