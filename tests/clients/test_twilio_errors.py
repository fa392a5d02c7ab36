import httpx
import pytest

from clients.errors import RequestRejectedError
from clients.twilio_errors import refusal


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("'To' number +905321234567 is odd.", "'To' number (number) is odd."),
        ("The number +90 532 123 45 67 is odd", "The number (number) is odd"),
        ("of +1 (500) 555-0006, and 0532.123.45.67.", "of (number), and (number)."),
        ("to:+905321234567;from:05321234567", "to:(number);from:(number)"),
        ("Account AC0123456789abcdef and pat@x.example", "Account (number) and (address)"),
        ("at most 1600 characters in 10 segments", "at most 1600 characters in 10 segments"),
        ("error 21617", "error 21617"),
    ],
)
def test_twilios_words_are_told_without_numbers(said: str, shown: str) -> None:
    reply = httpx.Response(
        400,
        json={"code": 21617, "message": said},
        request=httpx.Request("POST", "https://api.twilio.example/"),
    )

    error = refusal(reply)

    assert type(error) is RequestRejectedError
    assert str(error) == f"Twilio answered 400/21617: {shown}"
