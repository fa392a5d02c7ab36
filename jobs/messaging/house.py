"""Mails in the product's own name: they belong to no tenant, so none has a say in how they look."""

from collections.abc import Mapping
from typing import Any

from clients.errors import RequestRejectedError
from clients.mail import Mail
from jobs.kit.context import Offload
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.colours import palette
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered, RenderingError
from jobs.messaging.wording import product_words


async def write_house_mail(
    offload: Offload, template: str, to: str, reader: Reader, values: Mapping[str, Any]
) -> Mail:
    """From the provider's sender; `values` have the `service` that writes. Raises
    RequestRejectedError.
    """
    try:
        rendered = await product_words(offload, template, reader, house_values(reader, values))
    except RenderingError as error:
        raise RequestRejectedError(f"message {template}: {error}") from None
    return house_mail_of(template, to, reader, rendered)


def house_values(reader: Reader, values: Mapping[str, Any]) -> dict[str, Any]:
    """With those that every message has."""
    return {
        **values,
        "name": "",
        "tenant": values["service"],
        "language": reader.locale,
        "unsubscribe_url": None,
        "reply_to": None,
        "palette": palette(None),
        "postal_address": "",
    }


def house_mail_of(template: str, to: str, reader: Reader, rendered: Rendered) -> Mail:
    """The mail with these words."""
    return Mail(
        template=kind_of(template),
        template_version=rendered.version,
        to=to,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        language=reader.locale,
    )
