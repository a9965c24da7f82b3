"""The configuration page says what the models say."""

from llmqueue_project import describe_config
from llmqueue_project.config import Config
from llmqueue_project.config_sections import SchedulingConfig


def test_the_page_is_current() -> None:
    assert describe_config.PAGE.read_text(encoding="utf-8") == describe_config.page()


def test_every_setting_is_on_the_page() -> None:
    text = describe_config.page()

    for name in SchedulingConfig.model_fields:
        assert f"`LLMQUEUE_SCHEDULING__{name.upper()}`" in text
    for name in ("DATABASE_URL", "REDIS_URL", "LLMQUEUE_SECRET_KEY"):
        assert f"| `{name}` | secret |" in text


def test_no_secret_is_on_the_page() -> None:
    text = describe_config.page()

    assert Config.model_fields["secret_key"].default.get_secret_value() not in text
