from django.apps import AppConfig


class BalancingConfig(AppConfig):
    name = "balancing"
    verbose_name = "Balancing: where a request runs"

    def ready(self) -> None:
        from balancing import checks  # noqa: F401 - registers the system checks
