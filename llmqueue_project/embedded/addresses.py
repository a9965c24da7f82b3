"""Where is everything? The addresses, files and names that `make up` prints."""

from __future__ import annotations

from pathlib import Path

from llmqueue_project.embedded.console import say
from llmqueue_project.embedded.stack import Stack


def show(stack: Stack) -> None:
    """Print them."""
    exports, state = stack.exports, stack.state
    url, model = exports["LLMQUEUE_URL"], stack.parts.environment["LLM_BASE_URL"]
    rows = {
        "OpenAI API": f"{url}/v1",
        "REST API": f"{url}/api/v1",
        "docs": f"{url}/api/docs/",
        "admin": f"{url}/admin/  (user {exports['LLMQUEUE_ADMIN_USER']})",
        "Flower": exports["FLOWER_URL"],
        "metrics": f"{url}/metrics",
        "model": f"{model}  ({stack.parts.llm or 'your endpoint'})",
        "logs": _relative(state.logs),
    }
    say()
    if stack.parts.llm == "fake":
        rows["fake"] = f"POST {model.removesuffix('/v1')}/control changes its speed and failures"
    for name, where in rows.items():
        say(f"  {name:<11} {where}")
    say(f"\n  Keys and passwords:  source {_relative(state.env)}")


def _relative(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
