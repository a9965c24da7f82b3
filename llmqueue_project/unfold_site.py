"""How admin looks: its name, its sidebar, and what its first page is given."""

from __future__ import annotations

from typing import Any

from django.urls import reverse, reverse_lazy


def _page(title: str, icon: str, name: str, permission: str) -> dict[str, Any]:
    def permitted(request: Any) -> bool:
        return bool(request.user.has_perm(permission))

    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{name}_changelist"),
        "permission": permitted,
    }


def _dead_letters(_request: Any) -> str:
    return f"{reverse('admin:scheduling_job_changelist')}?dead=yes"


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "llmqueue",
    "SITE_HEADER": "llmqueue",
    "SITE_SYMBOL": "low_priority",
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "llmqueue_project.dashboard.add_levels",
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            {
                "items": [
                    {"title": "Now", "icon": "monitoring", "link": reverse_lazy("admin:index")}
                ]
            },
            {
                "title": "Scheduling",
                "separator": True,
                "items": [
                    _page("Jobs", "list_alt", "scheduling_job", "scheduling.view_job"),
                    {
                        "title": "Dead letters",
                        "icon": "report",
                        "link": _dead_letters,
                        "permission": lambda request: request.user.has_perm("scheduling.view_job"),
                    },
                    _page("Attempts", "replay", "scheduling_attempt", "scheduling.view_attempt"),
                    _page("Flows", "water", "scheduling_flow", "scheduling.view_flow"),
                    _page(
                        "Maintenance", "pause_circle", "scheduling_pause", "scheduling.view_pause"
                    ),
                ],
            },
            {
                "title": "Balancing",
                "items": [
                    _page("Endpoints", "dns", "balancing_endpoint", "balancing.view_endpoint"),
                    _page("Model pools", "hub", "balancing_modelpool", "balancing.view_modelpool"),
                ],
            },
            {
                "title": "Conversations",
                "items": [
                    _page(
                        "Conversations",
                        "forum",
                        "conversations_conversation",
                        "conversations.view_conversation",
                    ),
                    _page(
                        "Messages",
                        "chat",
                        "conversations_message",
                        "conversations.view_message",
                    ),
                    _page(
                        "Costs",
                        "payments",
                        "scheduling_dailyusage",
                        "scheduling.view_dailyusage",
                    ),
                    _page(
                        "Tenants", "apartment", "conversations_tenant", "conversations.view_tenant"
                    ),
                    _page("Users", "person", "conversations_user", "conversations.view_user"),
                    _page(
                        "Priority rules",
                        "rule",
                        "conversations_priorityrule",
                        "conversations.view_priorityrule",
                    ),
                    _page("API keys", "key", "conversations_apikey", "conversations.view_apikey"),
                ],
            },
            {
                "title": "Operators",
                "items": [
                    _page(
                        "Operators",
                        "badge",
                        "conversations_operator",
                        "conversations.view_operator",
                    ),
                    _page("Groups", "group", "auth_group", "auth.view_group"),
                ],
            },
            {
                "title": "Elsewhere",
                "separator": True,
                "items": [
                    {"title": "Flower", "icon": "eco", "link": reverse_lazy("flower")},
                    {"title": "API documentation", "icon": "api", "link": reverse_lazy("docs")},
                ],
            },
        ],
    },
}
