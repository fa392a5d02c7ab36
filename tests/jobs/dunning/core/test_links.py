import string
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.dunning.core.links import LinkRefusedError, checked_link, payment_link

HOSTS = ("pay.example", "*.iyzico.example", "ödeme.example", "")


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://pay.example/i/42?a=1&b=%20c#top", "https://pay.example/i/42?a=1&b=%20c#top"),
        ("https://pay.example", "https://pay.example/"),
        ("HTTPS://PAY.Example/I/42", "https://pay.example/I/42"),
        ("https://pay.example:443/i", "https://pay.example/i"),
        ("https://shop.iyzico.example/x", "https://shop.iyzico.example/x"),
        ("https://a.b.iyzico.example/x", "https://a.b.iyzico.example/x"),
        ("https://ödeme.example/x", "https://xn--deme-4qa.example/x"),
        ("https://xn--deme-4qa.example/x", "https://xn--deme-4qa.example/x"),
        # Browsers read these as the host that is allowed, and it is shown as such.
        ("https://ｐａｙ.example/i", "https://pay.example/i"),
        ("https://pay。example/i", "https://pay.example/i"),
        ("https://pay.example/a@b:c", "https://pay.example/a@b:c"),
    ],
)
def test_a_link_to_a_payment_host_is_shown_as_dns_knows_it(link: str, shown: str) -> None:
    assert payment_link(link, HOSTS) == shown


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt://pay.example/%0aalert(1)",
        "data:text/html,x",
        "http://pay.example/i",
        "ftp://pay.example/i",
        "//pay.example/i",
        "pay.example/i",
        "/i/42",
        "",
        "https:",
        "https:/pay.example/i",
        "https:///pay.example/i",
        "https://?a",
        "https://pay.example@evil.example/i",
        "https://user:secret@pay.example/i",
        "https://@pay.example/i",
        "https://evil.example#@pay.example/",
        "https://evil.example/https://pay.example/",
        "https://evil.example?pay.example",
        "https://pay.example.evil.example/i",
        "https://pay.example.:443/i",
        "https://pay.example./i",
        "https://pay.example../i",
        "https://.pay.example/i",
        "https://evilpay.example/i",
        "https://sub.pay.example/i",
        "https://iyzico.example/x",
        "https://eviliyzico.example/x",
        "https://pay.example:8443/i",
        "https://pay.example:80/i",
        "https://pay.example:/i",
        "https://pay.example:443:443/i",
        "https://pay.example:٤٤٣/i",
        "https://evil.example\\@pay.example/i",
        "https://pay.example\\.evil.example/i",
        "https:\\\\pay.example/i",
        "https://pay.example/i\\j",
        "https://pаy.example/i",  # a Cyrillic а
        "https://pay.exampӏe/i",  # a Cyrillic palochka
        "https://xn--py-7kc.example/i",
        "https://xn--pay/i",
        "https://pay%2eexample/i",
        "https://evil.example%2f.pay.example/i",
        "https://pay.example%00.evil.example/i",
        "https://pay_me.example/i",
        "https://127.0.0.1/i",
        "https://[::1]/i",
        "https://[::1/i",
        "https://2130706433/i",
        "https://0x7f.1/i",
        "https://localhost/i",
        " https://pay.example/i",
        "https://pay.example/i ",
        "https://pay.example/a b",
        "https://pay.example/a\tb",
        "https://pay.example/a\nb",
        "https://pay.example/\r\nX: 1",
        "https://pay.example/a\x00b",
        "https://pay.example/a\x7fb",
        "https://pay.example/\u202egpj",
        "https://pay.example/a\u200bb",
        "https://pay\u00ad.example/i",
        "https://pay\u200d.example/i",
        "https://pay.example/\u2028",
        "https://pay.example/\ufeff",
        "https://pay.example/öde",
        'https://pay.example/"onclick=x',
        "https://pay.example/<script>",
        "https://pay.example/%zz",
        "https://pay.example/[x]",
        "https://pay.example/" + "a" * 2000,
        "https://" + "a" * 64 + ".example/",
        "https://\ud800.example/",
    ],
)
def test_a_link_that_may_lead_elsewhere_is_refused_and_not_repeated(link: str) -> None:
    with pytest.raises(LinkRefusedError) as refused:
        payment_link(link, HOSTS)

    assert "evil" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("hosts", [(), ("",), ("*",), ("*.",), ("*.example.",), ("https://x",)])
def test_without_a_host_of_its_own_a_tenant_links_nowhere(hosts: tuple[str, ...]) -> None:
    with pytest.raises(LinkRefusedError, match="payment_hosts"):
        payment_link("https://pay.example/i", hosts)


_NASTY = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "@:/\\.?#%[]&= \t\n\u202eаｅ。-_"),
    max_size=40,
)


@given(middle=_NASTY, end=_NASTY)
@example(middle="pay.example", end="/a")
@example(middle="@pay.example", end="")
def test_whatever_passes_leads_to_an_allowed_host(middle: str, end: str) -> None:
    for link in (f"https://{middle}{end}", f"https://pay.example{middle}", f"{middle}{end}"):
        try:
            shown = payment_link(link, ("pay.example", "*.pay.example"))
        except LinkRefusedError:
            continue
        parts = urlsplit(shown)
        host = parts.hostname or ""
        assert shown.startswith("https://")
        assert host == "pay.example" or host.endswith(".pay.example")
        assert parts.netloc == host
        assert shown.isascii()
        assert shown.isprintable()
        assert checked_link(shown) == shown
