"""A filter as conditions. What it leaves open is no part of them.

So PostgreSQL plans each kind of filter by itself, and finds the index that begins with it.
"""

from typing_extensions import override

from worker.dead_letters.letters import Filter

_NAME_LIMIT = 200  # characters of a foreign name that are in an index
_INDEXED = (f"left(job, {_NAME_LIMIT})", f"left(error_type, {_NAME_LIMIT})")


class Where:
    """Conditions and the parameters that they name, by number."""

    def __init__(self, which: Filter, *, is_counted: bool = False) -> None:
        """`is_counted`: for the table of counts, which has whole names and no more than those."""
        self.parameters: list[object] = []
        self._conditions = [f"status = '{which.status}'"]  # one of three words: Filter says so
        job, error = ("job", "error_type") if is_counted else _INDEXED
        limit = None if is_counted else _NAME_LIMIT
        if which.job_names is not None:
            names = [name[:limit] for name in which.job_names]
            if len(names) == 1:
                self.add(f"{job} = {{}}", names[0])
            else:
                self.add(f"{job} = any({{}})", names)
        if which.error_type is not None:
            self.add(f"{error} = {{}}", which.error_type[:limit])
        for column in ("queue", "reason", "error_group", "tenant_id"):
            if getattr(which, column) is not None:
                self.add(f"{column} = {{}}", getattr(which, column))
        if which.text is not None:
            self.add("error_message ilike {}", f"%{_escaped(which.text)}%")
        if which.since is not None:
            self.add("died_at >= {}", which.since)
        if which.until is not None:
            self.add("died_at < {}", which.until)

    def add(self, condition: str, *values: object) -> None:
        """Another condition: a brace for each of its values."""
        first = len(self.parameters) + 1
        self.parameters += values
        numbers = [f"${number}" for number in range(first, first + len(values))]
        self._conditions.append(condition.format(*numbers))

    def parameter(self, value: object) -> str:
        """The name of another parameter."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    @override
    def __str__(self) -> str:
        return " and ".join(self._conditions)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
