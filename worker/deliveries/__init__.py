"""What leaves the house, once: mail, SMS and webhooks."""

from worker.deliveries.mailer import RecordedMailer
from worker.deliveries.poster import RecordedPoster
from worker.deliveries.record import NOBODY, Delivery, Found, judge
from worker.deliveries.settling import DoubtChore
from worker.deliveries.texter import RecordedTexter

__all__ = [
    "NOBODY",
    "Delivery",
    "DoubtChore",
    "Found",
    "RecordedMailer",
    "RecordedPoster",
    "RecordedTexter",
    "judge",
]
