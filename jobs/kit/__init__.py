"""The words with which a job is declared."""

from jobs.kit.context import Enqueued, JobContext, OffloadError, Run
from jobs.kit.declare import DeclarationError, job
from jobs.kit.discover import all_jobs, discover
from jobs.kit.job import Job, PayloadError
from jobs.kit.limits import Debounce, RateLimit, Throttle
from jobs.kit.outcome import Cancel, RateLimited, Snooze
from jobs.kit.payload import LegacyPayload, Payload, TenantPayload, WebhookDelivery, tenant_file
from jobs.kit.queue import QUEUES, Queue, queue_key
from jobs.kit.retry import Exponential, Fixed, Retry
from jobs.kit.schedule import Cron, Every, OnDemand, Schedule, Setting, Tick, setting
from jobs.kit.sending import DeliveryReceipt
from jobs.kit.stopping import is_stopping

__all__ = [
    "QUEUES",
    "Cancel",
    "Cron",
    "Debounce",
    "DeclarationError",
    "DeliveryReceipt",
    "Enqueued",
    "Every",
    "Exponential",
    "Fixed",
    "Job",
    "JobContext",
    "LegacyPayload",
    "OffloadError",
    "OnDemand",
    "Payload",
    "PayloadError",
    "Queue",
    "RateLimit",
    "RateLimited",
    "Retry",
    "Run",
    "Schedule",
    "Setting",
    "Snooze",
    "TenantPayload",
    "Throttle",
    "Tick",
    "WebhookDelivery",
    "all_jobs",
    "discover",
    "is_stopping",
    "job",
    "queue_key",
    "setting",
    "tenant_file",
]
