from worker.cli.tools import printable


def test_what_a_terminal_would_obey_is_shown_instead() -> None:
    assert printable("a\x1b[31mb\nc") == "a\\x1b[31mb\\x0ac"
    assert printable("Iğdır ✅") == "Iğdır ✅"
