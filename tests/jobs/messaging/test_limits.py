from jobs.messaging.limits import MAIL_LIMITS, SMS_LIMITS


def test_a_tenant_cannot_take_all_there_is() -> None:
    for limits, word in ((MAIL_LIMITS, "email"), (SMS_LIMITS, "sms")):
        everybodys, tenants = limits

        assert (everybodys.key, tenants.key) == (word, f"{word}:{{tenant_id}}")
        assert tenants.count / tenants.per < everybodys.count / everybodys.per
