"""The Lua files beside this module, put together: each script begins with `common.lua`.

In a Redis Cluster all keys have a tag. Those that a script is given have it already; those that it
makes begin, in its text, with one of the words in `_OURS`.
"""

from importlib import resources

from worker.engine.wire import Script

_PARTS = {
    "tick": ("common", "controls", "turns", "finish", "claim", "tick"),
    "renew": ("common", "renew"),
    "peek": ("common", "controls", "peek"),
    "enqueue": ("common", "controls", "turns", "enqueue"),
    "merge": ("common", "controls", "turns", "merge"),
    "relay": ("common", "controls", "turns", "relay"),
    "cancel": ("common", "controls", "turns", "finish", "cancel"),
    "look": ("common", "controls", "turns", "standing", "look"),
    "browse": ("common", "controls", "turns", "standing", "browse"),
    "promote": ("common", "controls", "turns", "standing", "promote"),
    "forget": ("common", "controls", "turns", "standing", "forget"),
    "mend": ("common", "controls", "mend"),
    "sweep": ("common", "sweep"),
}


_OURS = ("arq:", "deskhand:")


def script(name: str, tag: str = "") -> Script:
    """One of the engine's scripts, for keys that all begin with this tag. Raises KeyError."""
    folder = resources.files("worker.engine")
    text = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in _PARTS[name])
    for word in _OURS:
        text = text.replace(f"'{word}", f"'{tag}{word}")
    return Script(f"local tag = '{tag}'\n{text}")
