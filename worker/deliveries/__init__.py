"""What leaves the house, once: mail and SMS."""

from worker.deliveries.mailer import RecordedMailer
from worker.deliveries.record import NOBODY, Delivery, Found, judge
from worker.deliveries.texter import RecordedTexter

__all__ = ["NOBODY", "Delivery", "Found", "RecordedMailer", "RecordedTexter", "judge"]
