from jobs.email.core.lines import one_line


def test_a_text_becomes_one_line() -> None:
    assert one_line(" Roof\r\n\r\nBcc: eve@x\t") == "Roof Bcc: eve@x"
