"""A controllable endpoint: `python -m tests.fake_llm --port 9100`.

It speaks OpenAI's API, Azure's variety, Anthropic's Messages and Gemini's generateContent, each
at its own paths.

In tests: `async with FakeLLM(tokens=5) as llm:` in the test's own loop, or
`with running_fake_llm(tokens=5) as llm:` in a thread; both give `url` (root),
`base_url` (ends in /v1), `control(**fields)` and `stats()`.
"""

from tests.fake_llm.background import RunningFakeLLM, running_fake_llm
from tests.fake_llm.behaviour import Behaviour
from tests.fake_llm.server import FakeLLM

__all__ = ["Behaviour", "FakeLLM", "RunningFakeLLM", "running_fake_llm"]
