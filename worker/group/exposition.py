"""The metrics of several processes as one text, each series with the process that it is of.

Both formats (text 0.0.4 and OpenMetrics 1.0) want all samples of a metric together, below its
`# HELP`; what prometheus_client writes always has that line first.
"""

import re
from collections.abc import Iterator, Mapping

_UP = "worker_process_up"
_HELP = b"# HELP "
_EOF = b"# EOF"
_NAME_END = re.compile(rb"[{ ]")


def merged(bodies: Mapping[int, bytes | None]) -> bytes:
    """One exposition of all, with the label `process`; None for those that did not answer."""
    heads: dict[bytes, list[bytes]] = {}
    samples: dict[bytes, list[bytes]] = {}
    is_open_metrics = False
    for number, body in bodies.items():
        for name, lines in _families(body or b""):
            is_open_metrics = is_open_metrics or lines[-1] == _EOF
            heads.setdefault(name, [line for line in lines if line[:1] == b"#" and line != _EOF])
            told = [_labelled(line, number) for line in lines if line and line[:1] != b"#"]
            samples.setdefault(name, []).extend(told)
    lines = [line for name, head in heads.items() for line in (*head, *samples[name])]
    lines += _up(bodies)
    return b"\n".join([*lines, *([_EOF] if is_open_metrics else []), b""])


def _families(body: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """Each metric's name, and its lines."""
    name, lines = b"", list[bytes]()
    for line in body.splitlines():
        if line.startswith(_HELP):
            if lines:
                yield name, lines
            name, lines = line.split(b" ", 3)[2], []
        lines.append(line)
    if lines:
        yield name, lines


def _labelled(line: bytes, number: int) -> bytes:
    found = _NAME_END.search(line)
    if found is None:
        return line
    end = found.start()
    label = b'process="%d"' % number
    if line[end : end + 1] == b"{":
        comma = b"" if line[end + 1 : end + 2] == b"}" else b","
        return b"%s{%s%s%s" % (line[:end], label, comma, line[end + 1 :])
    return b"%s{%s}%s" % (line[:end], label, line[end:])


def _up(bodies: Mapping[int, bytes | None]) -> list[bytes]:
    lines = [
        f"# HELP {_UP} Whether a process of this group answered.",
        f"# TYPE {_UP} gauge",
        *(f'{_UP}{{process="{n}"}} {int(body is not None)}' for n, body in bodies.items()),
    ]
    return [line.encode() for line in lines]
