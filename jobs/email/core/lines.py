"""Texts from outside, made fit for a line of a mail."""


def one_line(text: str) -> str:
    """The words with single spaces between them."""
    return " ".join(text.split())
