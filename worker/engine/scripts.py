"""The Lua files beside this module, put together: each script begins with `common.lua`."""

from importlib import resources

from worker.engine.wire import Script

_PARTS = {
    "tick": ("common", "finish", "claim", "tick"),
    "renew": ("common", "renew"),
    "peek": ("common", "peek"),
    "enqueue": ("common", "enqueue"),
    "sweep": ("common", "sweep"),
}


def script(name: str) -> Script:
    """One of the engine's scripts. Raises KeyError."""
    folder = resources.files("worker.engine")
    return Script("\n".join((folder / f"{part}.lua").read_text("utf-8") for part in _PARTS[name]))
