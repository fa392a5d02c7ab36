"""What a reply of SAM.gov's opportunities search says, in our own words. Pure."""

from jobs.sam_gov.core.notice import Contact, Opportunity, content_sha256, opportunity
from jobs.sam_gov.core.reply import NotAReplyError, Reply, read_reply
from jobs.sam_gov.core.values import NoticeError

__all__ = [
    "Contact",
    "NotAReplyError",
    "NoticeError",
    "Opportunity",
    "Reply",
    "content_sha256",
    "opportunity",
    "read_reply",
]
