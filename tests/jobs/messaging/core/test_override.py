from jobs.messaging.core.override import Override


def test_a_mail_has_the_parts_that_are_given() -> None:
    override = Override(version=1, subject="s", html="h")

    assert override.parts("email") == {"subject": "s", "html": "h"}


def test_an_sms_is_its_text() -> None:
    assert Override(version=1, text="t").parts("sms") == {"sms": "t"}
    assert Override(version=1).parts("sms") == {"sms": ""}
