"""Mails from templates: `templates/<name>.<language>.{subject,txt,html}.j2`.

Whatever comes from outside is escaped in HTML, and a name that a template misspells is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from clients.mail import Attachment, Mail
from jobs.email import core

_TEMPLATES = Environment(
    loader=PackageLoader("jobs.email"),
    autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


def render(name: str, *, language: str, values: dict[str, Any]) -> Rendered:
    """Fill the three templates of one mail. Raises jinja2.TemplateError."""
    values = {**values, "language": language}
    subject, text, html = (
        _TEMPLATES.get_template(f"{name}.{language}.{kind}.j2").render(values)
        for kind in ("subject", "txt", "html")
    )
    return Rendered(" ".join(subject.split()), text.strip() + "\n", html)


def opportunity_reminder(
    recipient: core.Recipient,
    opportunities: Sequence[core.Opportunity],
    *,
    now: datetime,
    unsubscribe_url: str,
    report: Attachment | None = None,
) -> Mail:
    """The reminder of these opportunities, the first of which has the next deadline."""
    zone, locale = ZoneInfo(recipient.timezone), recipient.locale
    next_day = core.due_on(opportunities[0], zone)
    rendered = render(
        "opportunity_reminder",
        language=locale,
        values={
            "name": " ".join(recipient.full_name.split()),
            "tenant": " ".join(recipient.tenant_name.split()),
            "lines": [core.line(one, now=now, zone=zone, locale=locale) for one in opportunities],
            "next_day": next_day and core.long_date(next_day, locale=locale),
            "report": report and report.filename,
            "unsubscribe_url": unsubscribe_url,
        },
    )
    return Mail(
        template="opportunity-reminder",
        to=recipient.email,
        to_name=" ".join(recipient.full_name.split()),
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        attachments=(report,) if report else (),
        unsubscribe_url=unsubscribe_url,
        language=locale,
    )
