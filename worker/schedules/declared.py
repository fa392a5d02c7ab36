"""The schedules that jobs declare, with what the settings say of them."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from jobs.kit import Job, Schedule, all_jobs, discover
from jobs.kit.schedule import changed
from worker.schedules.plan import Plan, resolved
from worker.settings import Settings, SettingsError

_PREFIX = "SCHEDULE_"


def plans_of(settings: Settings, jobs: Iterable[Job[Any, Any]] | None = None) -> dict[str, Plan]:
    """When each scheduled job is due, by its schedule's name. Raises SettingsError, a line for each
    mistake.
    """
    scheduled = [
        (job, job.schedule)
        for job in (all_jobs() if jobs is None else jobs)
        if job.schedule is not None
    ]
    problems = _unknown(settings.schedules, [job.name for job, _ in scheduled])
    plans = {}
    for job, schedule in scheduled:
        try:
            plans[job.first_name] = _plan(job.name, schedule, settings)
        except ValueError as error:
            problems.append(f"{setting_name(job.name)}: {error}")
    if problems:
        raise SettingsError(problems)
    return plans


def schedule_name(name: str) -> str:
    """The schedule of a job, under any of the job's names: it keeps the first of them, so that it
    goes on where it was when the job is renamed, with old and new workers side by side.
    """
    job = discover().get(name)
    return name if job is None else job.first_name


def setting_name(job: str) -> str:
    """The setting that says otherwise: `SCHEDULE_` and the job's name in capitals."""
    return _PREFIX + job.upper().replace(".", "_")


def _plan(name: str, schedule: Schedule, settings: Settings) -> Plan:
    schedule = resolved(schedule, lambda setting: _said(setting, settings))
    said = settings.schedules.get(setting_name(name))
    if said is not None:
        schedule = changed(schedule, said)
    return Plan.of(schedule, tz=settings.timezone)


def _said(setting: str, settings: Settings) -> Any:
    try:
        return getattr(settings, setting.lower())
    except AttributeError:
        raise ValueError(f"the job asks for the setting {setting}, which there is not") from None


def _unknown(said: Mapping[str, str], scheduled: Iterable[str]) -> list[str]:
    known = [setting_name(name) for name in scheduled]
    problems = []
    for name in sorted(set(said) - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        problems.append(f"{name}: no scheduled job is called so; {hint}")
    return problems
