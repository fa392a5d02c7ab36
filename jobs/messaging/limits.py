"""How fast messages leave, over all workers, and how long they are tried: for jobs that send.

A provider that answers 429 pauses the keys, so a tenant's own cannot hold up the others for long.
"""

from jobs.kit import RateLimit, Retry

MAIL_LIMITS = (RateLimit("email", 1_000, per=1), RateLimit("email:{tenant_id}", 6_000, per=60))
SMS_LIMITS = (RateLimit("sms", 100, per=1), RateLimit("sms:{tenant_id}", 600, per=60))
# A provider that is away for two hours costs no message: 5 s, 25 s, 2 min, 10 min, then hourly.
SENDING_RETRY = Retry(attempts=8)
