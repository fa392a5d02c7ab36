"""Every mail, opened in a browser as wide as a desk's and as narrow as a pocket's."""

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any

import pytest

from jobs.kit import discover
from jobs.messaging.catalogue import messages
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.previewing import nobodys_profile
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import is_built_in, render
from jobs.messaging.writing import common_values

discover()
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_WIDTHS = (600, 360)
_MEASURE = """
<script>
addEventListener("load", () => {
  const seen = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const root = frame.contentDocument.documentElement;
    const style = frame.contentWindow.getComputedStyle(root.querySelector("h1, p"));
    seen[frame.name] = {wide: root.scrollWidth, high: root.scrollHeight, colour: style.color};
  }
  document.body.textContent = "seen:" + JSON.stringify(seen) + ":end";
});
</script>
"""


def _mail(name: str, language: str) -> str:
    profile = nobodys_profile(language)
    to = Recipient(
        tenant_id=profile.tenant_id,
        name="Ayşegül Büyükkaraoğlanoğlu-Çekoslovakyalılaştıramadıklarımızdan",
        email="aysegul@example.com",
        locale=language,
        timezone=profile.timezone,
    )
    sample = next(one for one in messages() if one.name == name).sample(language)
    values = common_values(to, profile, sample, "https://example.com/unsubscribe")
    return render(name, Reader(language, profile.timezone, "email"), values).html


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine to open mails in")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_mail_fits_whatever_it_is_read_on(tmp_path: Path, scheme: str) -> None:
    mails = {
        f"{one.name}.{language}": _mail(one.name, language)
        for one in messages()
        for language in ("en", "tr")
        if is_built_in(one.name, language, "email")
    }
    frames = [
        f'<iframe name="{name}.{width}" style="width:{width}px;height:300px;border:0"'
        f' srcdoc="{escape(html)}"></iframe>'
        for name, html in mails.items()
        for width in _WIDTHS
    ]
    page = tmp_path / "mails.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{''.join(frames)}{_MEASURE}")

    seen = _opened(page, tmp_path / "profile", scheme)

    assert len(seen) == len(mails) * len(_WIDTHS) >= 44
    too_wide = {
        name: one["wide"] for name, one in seen.items() if one["wide"] > int(name.split(".")[-1])
    }
    assert too_wide == {}
    assert all(one["high"] > 200 for one in seen.values())
    brightness = {
        sum(map(int, re.findall(r"\d+", one["colour"])[:3])) // 3 for one in seen.values()
    }
    assert max(brightness) < 100 if scheme == "light" else min(brightness) > 150


def _brightness(colour: str) -> int:
    """Of `rgb(16, 24, 39)`, 0 to 255."""
    return sum(map(int, re.findall(r"\d+", colour)[:3])) // 3


def _opened(page: Path, profile: Path, scheme: str) -> dict[str, dict[str, Any]]:
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
        "--virtual-time-budget=10000",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True, text=True)
    told = re.search("seen:(.*):end", done.stdout)
    assert told is not None
    seen: dict[str, dict[str, Any]] = json.loads(told[1])
    return seen
