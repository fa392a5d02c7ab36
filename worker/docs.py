"""`python -m worker.docs` (`make docs`): write what is made from the code into README and .env."""

import re
from pathlib import Path

from worker.job_table import job_table
from worker.settings_docs import env_example

ROOT = Path(__file__).parent.parent
_TABLE = re.compile(r"(<!-- jobs: made by `make docs` -->\n).*?(\n<!-- /jobs -->)", re.DOTALL)


def with_job_table(readme: str) -> str:
    """The README with the table of jobs as it is now."""
    return _TABLE.sub(lambda match: match[1] + job_table() + match[2], readme)


def main() -> None:
    (ROOT / ".env.example").write_text(env_example(), "utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_job_table(readme.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
