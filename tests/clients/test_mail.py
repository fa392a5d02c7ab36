from dataclasses import replace

import pytest

from clients.errors import RequestRejectedError
from clients.mail import Attachment, Sender, ascii_address, without_addresses
from tests.clients.mails import MAIL


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("to", "pat@tenant.example\r\nBcc: eve@evil.example"),
        ("to", "Pat <pat@tenant.example>"),
        ("to", "pat@tenant.example, eve@evil.example"),
        ("to_name", "Pat\nBcc: eve@evil.example"),
        ("subject", "Hello\r\n\r\n<script>"),
        ("subject", " "),
        ("unsubscribe_url", "https://ours.example/>\r\nBcc: eve@evil.example"),
        ("unsubscribe_url", "javascript:alert(1)"),
        ("language", "en\r\nX: y"),
        ("attachments", (Attachment("a\r\nb.pdf", "application/pdf", b""),)),
        ("attachments", (Attachment("a.pdf", "application/pdf\r\nX: y", b""),)),
        ("attachments", (Attachment("a.eml", "message/rfc822", b""),)),
    ],
)
def test_what_would_break_out_of_its_header_is_refused(field: str, value: str) -> None:
    with pytest.raises(RequestRejectedError, match=field) as error:
        replace(MAIL, **{field: value})  # type: ignore[arg-type] # one field at a time

    assert "evil" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("pat@tenant.example", "pat@tenant.example"),
        ("  Pat.O'Neil+bids@Tenant.Example ", "Pat.O'Neil+bids@tenant.example"),
        ("bilgi@müşteri.com.tr", "bilgi@xn--mteri-kva70e.com.tr"),
        ("root@localhost", "root@localhost"),
        ("şükrü@tenant.example", None),
        ("pat@tenant", None),
        ("pat@-tenant.example", None),
        ("pat@tenant..example", None),
        (".pat@tenant.example", None),
        ("pat@tenant.example@evil.example", None),
        ("pat", None),
        ("", None),
        ("@tenant.example", None),
        (f"{'a' * 65}@tenant.example", None),
        (f"a@{'b.' * 130}example", None),
    ],
)
def test_an_address_is_one_or_not(text: str, address: str | None) -> None:
    assert ascii_address(text) == address


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("alerts@ours.example", "alerts@ours.example", ""),
        ("Ours <alerts@Ours.example>", "alerts@ours.example", "Ours"),
        ('"Ours, Ltd." <alerts@ours.example>', "alerts@ours.example", "Ours, Ltd."),
    ],
)
def test_a_sender_is_read_with_or_without_its_name(text: str, address: str, name: str) -> None:
    sender = Sender.parse(text)

    assert (sender.address, sender.name, sender.domain) == (address, name, "ours.example")


@pytest.mark.parametrize(
    "text",
    ["Ours, Ltd.", "a@ours.example, b@ours.example", "A <a@ours.example>, B <b@ours.example>", ""],
)
def test_a_sender_is_one_address(text: str) -> None:
    with pytest.raises(ValueError, match="Name <address>"):
        Sender.parse(text)


def test_neither_content_nor_people_show_in_a_mails_repr() -> None:
    shown = repr(MAIL)

    assert "sukru" not in shown
    assert "Merhaba" not in shown


def test_a_services_words_lose_their_addresses() -> None:
    words = "550 5.1.1 <pat@tenant.example>:\n no such user"

    assert without_addresses(words) == "550 5.1.1 (address) no such user"


@pytest.mark.parametrize(
    ("domain", "ascii_domain"),
    [
        ("faß.example", "xn--fa-hia.example"),
        ("müşteri.com.tr", "xn--mteri-kva70e.com.tr"),
        ("İSTANBUL.example", "xn--istanbul-o0e.example"),
    ],
)
def test_a_domain_is_no_other_one_that_looks_like_it(domain: str, ascii_domain: str) -> None:
    """IDNA 2003 made fass.example of the first: somebody else's."""
    assert ascii_address(f"a@{domain}") == f"a@{ascii_domain}"
