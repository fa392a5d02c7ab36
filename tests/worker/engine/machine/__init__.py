"""The engine's scripts on a real Redis beside a model of them, in any order of what can happen."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from tests.worker.engine.machine.engine_rules import EngineRules
from tests.worker.engine.machine.world_rules import WorldRules


class Machine(EngineRules, WorldRules):
    pass


def search(redis: "Redis", *, examples: int, steps: int) -> None:
    """Raises what the smallest failing order of steps raises, with that order."""

    Machine.redis = redis
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
