import pytest

from clients.errors import RequestRejectedError
from clients.sms import Sms


@pytest.mark.parametrize("to", ["", "02125551234", "+0532", "+90 212 555 12 34", "+1" * 20])
def test_a_number_is_in_e164(to: str) -> None:
    with pytest.raises(RequestRejectedError, match=r"to: .*E\.164") as refused:
        Sms(template="t", to=to, body="b")

    assert not to or to not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "said"), [(" \n", "empty"), ("x" * 1601, "longer than 1600"), ("a\x00b", "control")]
)
def test_a_body_is_a_text_of_a_size(body: str, said: str) -> None:
    with pytest.raises(RequestRejectedError, match=f"body: .*{said}"):
        Sms(template="t", to="+905321234567", body=body)


@pytest.mark.parametrize("sender", ["+15005550006", "12345", "ANADOLU KLN", "MG" + "0a" * 16])
def test_a_sender_is_a_number_a_code_a_name_or_a_service(sender: str) -> None:
    assert Sms(template="t", to="+905321234567", body="b", sender=sender).sender == sender


@pytest.mark.parametrize(
    "sender", ["", "Işık Klinik", "a name that is long", "MG" + "x" * 32, "1" * 11]
)
def test_anything_else_is_no_sender(sender: str) -> None:
    with pytest.raises(RequestRejectedError, match="sender: "):
        Sms(template="t", to="+905321234567", body="b", sender=sender)


def test_nothing_personal_is_in_its_repr() -> None:
    sms = Sms(template="t", to="+905321234567", body="Merhaba Ayşe")

    assert "Merhaba" not in repr(sms)
    assert "532" not in repr(sms)
