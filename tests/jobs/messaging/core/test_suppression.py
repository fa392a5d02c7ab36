import pytest

from jobs.messaging.core.suppression import Suppression, is_own_wish
from tests.jobs.messaging.deliveries import NOW


@pytest.mark.parametrize(
    ("reason", "is_wish", "is_own"),
    [
        ("unsubscribed", True, True),
        ("group unsubscribed", True, True),
        ("complained", True, True),
        ("opted out", True, True),
        ("by hand", True, True),  # whoever wrote it may have been asked to
        ("blocked", True, False),
        ("bounced", False, False),
        ("unreachable", False, False),
    ],
)
def test_a_wish_is_told_from_an_address_that_takes_nothing(
    reason: str, *, is_wish: bool, is_own: bool
) -> None:
    assert Suppression(reason, NOW).is_wish is is_wish
    assert is_own_wish(reason) is is_own
