"""What leaves the house, once: mail, SMS and webhooks."""

from worker.deliveries.mailer import RecordedMailer
from worker.deliveries.poster import RecordedPoster
from worker.deliveries.record import NOBODY, Delivery, Found, judge
from worker.deliveries.texter import RecordedTexter

__all__ = [
    "NOBODY",
    "Delivery",
    "Found",
    "RecordedMailer",
    "RecordedPoster",
    "RecordedTexter",
    "judge",
]
