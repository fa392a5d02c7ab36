"""Files from storage, as mails carry them."""

from types import MappingProxyType

from clients.mail import Attachment
from jobs.kit import JobContext

LARGEST = 10 * 1024 * 1024  # bytes; many servers take no larger mail
_MEDIA_TYPES = MappingProxyType(
    {
        "csv": "text/csv",
        "pdf": "application/pdf",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
)


async def attachment_of(ctx: JobContext, key: str, *, filename: str | None = None) -> Attachment:
    """The object under this key, by its own name or another.

    Raises ObjectNotFoundError, and ObjectTooLargeError for more than LARGEST.
    """
    content = await ctx.storage.read(key, limit=LARGEST)
    name = filename or key.rpartition("/")[2]
    suffix = name.rpartition(".")[2].lower()
    return Attachment(name, _MEDIA_TYPES.get(suffix, "application/octet-stream"), content)
