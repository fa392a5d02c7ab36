"""A longer search than the test's: `python -m tests.worker.engine.machine --examples 2000`."""

import argparse
import tempfile
from pathlib import Path

from redis import Redis

from tests.worker.engine.machine import search
from worker.embedded import start_valkey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=80)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = start_valkey(Path(folder), is_durable=False)
        try:
            search(Redis.from_url(server.url), examples=options.examples, steps=options.steps)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
