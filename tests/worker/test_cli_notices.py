"""`deskhand notices`: what it prints."""

import json

from tests.worker.notices.conftest import HOUR, Scene
from tests.worker.notices.conftest import scene as scene  # noqa: PLC0414 - a fixture is found here
from tests.worker.test_cli import Cli
from tests.worker.test_cli import cli as cli  # noqa: PLC0414 - the same
from worker.notices.watch import Line


async def test_notices_are_told_newest_first(cli: Cli, scene: Scene) -> None:
    assert (await cli("notices")).stdout == "no notices\n"
    await scene.fail(7)
    await scene.look()
    await scene.look(HOUR)
    scene.queues = {"email": Line(150, is_served=False)}
    await scene.look()
    await scene.look()

    told = await cli("notices")
    still_open = await cli("notices", "--open", "--json", "--kind", "waiting")

    unserved, waiting, failures = told.stdout.splitlines()
    assert unserved.endswith("open: 150 runs wait in email, which no worker serves")
    assert waiting.endswith("open: 150 runs wait in email, 150 at most")
    assert failures.endswith(
        "over 2026-03-01 13:01: testing.add_line failed 7 times (ValueError), 7 given up on"
    )
    one = json.loads(still_open.stdout)
    assert (one["kind"], one["queue"], one["closed_at"]) == ("waiting", "email", None)
