"""How fast messages leave, over all workers: `rate_limits=MAIL_LIMITS` for every job that sends.

A provider that answers 429 pauses the keys, so a tenant's own cannot hold up the others for long.
"""

from jobs.kit import RateLimit

MAIL_LIMITS = (RateLimit("email", 1_000, per=1), RateLimit("email:{tenant_id}", 6_000, per=60))
SMS_LIMITS = (RateLimit("sms", 100, per=1), RateLimit("sms:{tenant_id}", 600, per=60))
