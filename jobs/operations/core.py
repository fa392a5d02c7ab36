"""What admins are told of a trouble. Names of jobs, queues and errors, and counts: no payloads, no
messages of errors, nothing of a person.
"""

from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Trouble(BaseModel):
    """One notice, as it was when this was told of it.

    count       failures since it opened, or runs that wait; `since_last` how many more than when
                it was told last; `most` the highest of them
    dead        how many runs were given up on
    threshold   what `count` went over
    run_ids     some of the newest runs that failed
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    notice_id: int
    edition: int
    kind: Literal["failures", "waiting", "unserved"]
    change: Literal["opened", "ongoing", "closed"]
    queue: str | None
    job: str | None
    error_type: str | None
    count: int
    since_last: int
    most: int
    dead: int
    threshold: int
    run_ids: tuple[str, ...]
    first_at: AwareDatetime
    last_at: AwareDatetime
    opened_at: AwareDatetime

    @property
    def key(self) -> str:
        """What makes telling it unique."""
        return f"notice:{self.notice_id}:{self.edition}"


def link_of(trouble: Trouble, base: str) -> str:
    """Where the API has the runs in question."""
    if trouble.kind == "failures":
        asked = {"job": trouble.job or "", "state": "dead" if trouble.dead else "retrying"}
    else:
        asked = {"queue": trouble.queue or "", "state": "waiting"}
    return f"{base}/api/v1/runs?{urlencode(asked)}"


def mail_values(
    troubles: tuple[Trouble, ...], *, more: int, service: str, environment: str, base: str
) -> dict[str, Any]:
    """What the templates of `admin_notice` show."""
    return {
        "service": service,
        "environment": environment,
        "notices": [{**one.model_dump(), "link": link_of(one, base)} for one in troubles],
        "more": more,
    }


def event_data(trouble: Trouble, *, service: str, environment: str, base: str) -> dict[str, Any]:
    """What a webhook carries. Fields are only ever added."""
    return {
        "service": service,
        "environment": environment,
        **trouble.model_dump(mode="json"),
        "link": link_of(trouble, base),
    }


def sample(at: datetime) -> Trouble:
    """One that is made up, for previews."""
    return Trouble(
        notice_id=17,
        edition=1,
        kind="failures",
        change="opened",
        queue="email",
        job="email.send_opportunity_reminder",
        error_type="ServiceUnavailableError",
        count=41,
        since_last=41,
        most=41,
        dead=3,
        threshold=5,
        run_ids=("5b1c0c3c9a1f4f0b8f3f6f8b7a2d1e4c",),
        first_at=at,
        last_at=at,
        opened_at=at,
    )
