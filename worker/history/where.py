"""A filter as conditions.

Each index of runs begins with one thing that a filter may name, and the state; in there runs are in
order. So a page is asked for once for each state (and each name of the job), as the beginning of an
index, and these are merged: what a filter leaves open costs no more than what it says.
"""

import orjson

from worker.ending import State
from worker.history.runs import Cursor, Filter

AT = "coalesce(finished_at, started_at, enqueued_at)"
_NAME_LIMIT = 200  # characters of a foreign name that are in an index


class Search:
    """Conditions and the parameters that they name, by number; `text` is a condition by itself."""

    def __init__(self, which: Filter, after: Cursor | None) -> None:
        self.parameters: list[object] = []
        self.text = None if which.text is None else self._text(which.text)
        self.text_parameters = list(self.parameters)
        self._states = list(dict.fromkeys(which.states)) or list(State)
        self._jobs = [self._parameter(name[:_NAME_LIMIT]) for name in which.job_names]
        self._conditions: list[str] = []
        for column in ("queue", "tenant_id"):
            if getattr(which, column) is not None:
                self._add(f"{column} = {{}}", getattr(which, column))
        for column in ("correlation_id", "label"):
            value = getattr(which, column)
            if value is not None:
                self._add(f"left({column}, {_NAME_LIMIT}) = {{}}", value[:_NAME_LIMIT])
                if len(value) > _NAME_LIMIT:
                    self._add(f"{column} = {{}}", value)
        if which.since is not None:
            self._add(f"{AT} >= {{}}", which.since)
        if which.until is not None:
            self._add(f"{AT} < {{}}", which.until)
        if after is not None:
            self._add(f"({AT}, run_id) < ({{}}, {{}})", *after)

    def branches(self) -> list[str]:
        """The conditions of each: one state, and one name of the job."""
        exact = [f"state = {_quoted(state)}" for state in self._states]
        if self._jobs:
            exact = [
                f"left(job, {_NAME_LIMIT}) = {job} and {state}"
                for job in self._jobs
                for state in exact
            ]
        return [" and ".join([one, *self._conditions]) for one in exact]

    @property
    def all_at_once(self) -> str:
        """The same as one condition."""
        conditions = [f"state in ({', '.join(_quoted(state) for state in self._states)})"]
        if self._jobs:
            conditions.append(f"left(job, {_NAME_LIMIT}) in ({', '.join(self._jobs)})")
        return " and ".join([*conditions, *self._conditions])

    def _text(self, text: str) -> str:
        # As it stands in JSON: somebody may look for a value, or copy a piece of JSON.
        inside = orjson.dumps(text).decode()[1:-1]
        patterns = [self._parameter(f"%{_escaped(one)}%") for one in dict.fromkeys((text, inside))]
        return f"({' or '.join(f'payload ilike {pattern}' for pattern in patterns)})"

    def _add(self, condition: str, *values: object) -> None:
        self._conditions.append(condition.format(*(self._parameter(value) for value in values)))

    def _parameter(self, value: object) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}"


def _quoted(state: State) -> str:
    return f"'{State(state).value}'"  # one of seven words


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
