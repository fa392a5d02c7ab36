"""One hash slot of a Redis Cluster, used like any single server (D7).

A cluster spreads keys by a hash of their names, and a script reaches one slot's. ARQ's names know
nothing of that; so each key gets a tag on its way out, `{deskhand}:arq:queue`, and all of them are
of one slot, whose primary every connection looks for. What is told of keys loses the tag again:
nobody behind this module knows of it but the scripts, whose keys are in their text.

The protocol: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from worker.redis_url import Address

# These answers say that another node, or later this one, is the one to ask. The last is a script's
# whose node has no such slot; Valkey 9 says it also after somebody else's script went wrong there.
_ELSEWHERE = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")
_NOT_HERE = "access a non local key"
_FIND_WITHIN = 5.0  # seconds for all nodes that are asked, one after the other
# Where the number of keys is told, and where keys and as many ids follow a word.
_COUNTED = ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO")
_PAIRED = {"XREAD": 1, "XREADGROUP": 4}  # and from where to look for it
_MOVABLE = (-1, -1, -1)
_DETAILS = 4  # what Redis 7 tells of a command beside its keys; the last is the list of subcommands


class Cluster:
    """What we know of a cluster: its nodes, and which arguments of a command are keys."""

    def __init__(self, seeds: Sequence[Address], name: str) -> None:
        self.tag = f"{{{name}}}:"
        self._slot = key_slot(self.tag.encode())
        self._seeds = seeds
        self.primary: Address | None = None
        self._nodes = list(seeds)
        # First, last and step, as COMMAND tells them, by the command's name.
        self._places: dict[str, tuple[int, int, int]] = {}

    def tagged(self, command: Sequence[Any]) -> tuple[Any, ...]:
        """The same command on tagged keys. Raises RedisError when nobody knows its keys."""
        words = [*_text(command[0]).split(), *command[1:]]
        if _text(words[0]).upper() == "SCAN" and "MATCH" not in map(_word, words):
            words += ("MATCH", "*")
        for place in self._keys(words):
            words[place] = self._with_tag(words[place])
        return tuple(words)

    def untagged(self, name: bytes) -> bytes:
        return name.removeprefix(self.tag.encode())

    def candidates(self) -> Iterator[Address]:
        """Nodes to ask, the likeliest first. One that is asked goes last until it answers, so that
        a caller who loses patience with it, or has no time for more, asks another one next time.
        """
        end = monotonic() + _FIND_WITHIN
        for _ in range(len(self._nodes)):
            if monotonic() > end:
                return
            node = self._nodes[0]
            self.doubt()
            yield node

    def questions(self) -> Sequence[str]:
        """What to ask a node."""
        return ("CLUSTER SLOTS",) if self._places else ("CLUSTER SLOTS", "COMMAND")

    def learn(self, asked: Address, slots: Sequence[Any], commands: Sequence[Any] = ()) -> Address:
        """Take in what a node answers; returns the address of our primary.

        Raises redis.exceptions.ConnectionError when it knows none.
        """
        self._places = self._places or dict(_places(commands))
        shards = [
            (low, high, [_address(node, asked) for node in nodes]) for low, high, *nodes in slots
        ]
        found = [address for *_, addresses in shards for address in addresses]
        self._nodes = list(dict.fromkeys([asked, *found, *self._seeds]))
        for low, high, addresses in shards:
            if low <= self._slot <= high:
                self.primary = addresses[0]
                return self.primary
        raise RedisConnectionError(f"no node of the Redis Cluster serves slot {self._slot}")

    def doubt(self) -> None:
        """Ask another node first next time."""
        self._nodes.append(self._nodes.pop(0))

    def _keys(self, words: Sequence[Any]) -> Iterator[int]:
        name = _text(words[0]).upper()
        if name in _COUNTED:
            yield from range(3, 3 + int(words[2]))
        elif name in _PAIRED:
            start = _PAIRED[name]
            first = [_word(word) for word in words].index("STREAMS", start) + 1
            yield from range(first, first + (len(words) - first) // 2)
        elif name == "KEYS":
            yield 1
        elif name == "SCAN":
            yield [_word(word) for word in words].index("MATCH") + 1
        else:
            yield from self._listed(name, words)

    def _listed(self, name: str, words: Sequence[Any]) -> Iterator[int]:
        place = self._places.get(name, (0, 0, 0))
        if len(words) > 1 and not place[0]:
            place = self._places.get(f"{name} {_text(words[1]).upper()}", place)
        if place == _MOVABLE:
            raise RedisError(f"{name} cannot be sent to a Redis Cluster: its keys are not known")
        first, last, step = place
        if first:
            yield from range(first, (last if last >= 0 else len(words) + last) + 1, step)

    def _with_tag(self, key: Any) -> Any:
        if isinstance(key, (bytes, bytearray, memoryview)):
            return self.tag.encode() + bytes(key)
        return f"{self.tag}{key}"


def key_tag(client: Redis | SyncRedis) -> str:
    """What each key begins with on this server: a hash tag in a Redis Cluster, else nothing."""
    cluster: Cluster | None = client.connection_pool.connection_kwargs.get("cluster")
    return cluster.tag if cluster else ""


def untag_replies(client: Redis, cluster: Cluster) -> None:
    """Names of keys in replies, as ARQ and the engine expect them."""

    def each(rename: Callable[[Any], Any], parse: Callable[..., Any]) -> Callable[..., Any]:
        return lambda reply, **options: [rename(item) for item in parse(reply, **options)]

    for command in _PAIRED:
        parse = each(
            lambda item: [cluster.untagged(item[0]), item[1]], client.response_callbacks[command]
        )
        client.set_response_callback(command, parse)
    client.set_response_callback("KEYS", each(cluster.untagged, list))
    scanned: Any = client.response_callbacks["SCAN"]

    def scan(*reply: Any, **options: Any) -> Any:
        cursor, names = scanned(*reply, **options)
        return cursor, [cluster.untagged(name) for name in names]

    client.set_response_callback("SCAN", scan)


def says_elsewhere(error: str) -> bool:
    """Is this not about what was asked, but about who was asked?"""
    return error.partition(" ")[0] in _ELSEWHERE or _NOT_HERE in error


def _address(node: Sequence[Any], asked: Address) -> Address:
    """A node's own word for itself; none means the one that was asked."""
    host = _text(node[0] or b"")
    return (asked[0] if host in ("", "?") else host, int(node[1]))


def _places(commands: Sequence[Any]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """From the reply to COMMAND; subcommands as `XGROUP CREATE`, by Redis 7 and later."""
    for name, _, flags, first, last, step, *more in commands:
        is_movable = b"movablekeys" in [_bytes(flag) for flag in flags]
        yield _text(name).upper().replace("|", " "), _MOVABLE if is_movable else (first, last, step)
        if len(more) == _DETAILS:
            yield from _places(more[-1])


def _word(word: Any) -> str:
    return _text(word).upper()


def _text(word: Any) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()
