"""The rows: jobs and their attempts, flows, pauses, usage."""

from scheduling.models.enums import FINAL as FINAL
from scheduling.models.enums import Api as Api
from scheduling.models.enums import Held as Held
from scheduling.models.enums import Priority as Priority
from scheduling.models.enums import Source as Source
from scheduling.models.enums import Status as Status
from scheduling.models.flow import Flow as Flow
from scheduling.models.flow import FlowTag as FlowTag
from scheduling.models.flow import LevelClock as LevelClock
from scheduling.models.flow import OutputEstimate as OutputEstimate
from scheduling.models.job import Attempt as Attempt
from scheduling.models.job import Job as Job
from scheduling.models.job import JobPayload as JobPayload
from scheduling.models.job import JobResult as JobResult
from scheduling.models.pause import Pause as Pause
from scheduling.models.usage import DailyUsage as DailyUsage
from scheduling.models.usage import UsageEntry as UsageEntry
