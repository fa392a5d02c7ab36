"""`python -m worker …` is `deskhand …`."""

from worker.cli import main

if __name__ == "__main__":
    main()
