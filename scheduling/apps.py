from django.apps import AppConfig


class SchedulingConfig(AppConfig):
    name = "scheduling"
    verbose_name = "Scheduling: when a request runs"

    def ready(self) -> None:
        from scheduling import checks  # noqa: F401 - registers the system checks
