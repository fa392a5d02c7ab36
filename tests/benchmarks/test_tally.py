import os
from pathlib import Path

from tests.benchmarks.tally import Noted, Tallies, Tally, prove


def test_what_a_worker_notes_is_read_while_it_runs(tmp_path: Path) -> None:
    tally = Tally.create(tmp_path, capacity=3)
    tallies = Tallies(tmp_path)

    assert tallies.ready() == 0
    tally.set_ready()
    assert tallies.ready() == 1

    tally.note(7, 1.5, 2.5)
    tally.note(8, 2.0, 2.0)
    assert tallies.noted() == [Noted(7, 1.5, 2.5), Noted(8, 2.0, 2.0)]


def test_the_warm_up_does_not_count(tmp_path: Path) -> None:
    tally = Tally.create(tmp_path, capacity=9)
    tally.set_ready()
    tallies = Tallies(tmp_path)
    assert tallies.ready() == 1

    tally.note(-1, 1.0, 1.0)
    tallies.mark()
    tally.note(0, 2.0, 2.0)

    assert (tallies.marked(), tallies.count()) == (1, 1)
    assert tallies.noted() == [Noted(0, 2.0, 2.0)]


def test_an_unwritten_tally_takes_no_disk(tmp_path: Path) -> None:
    Tally.create(tmp_path, capacity=1_000_000)

    status = (tmp_path / f"{os.getpid()}.tally").stat()
    assert status.st_size > 20_000_000 > status.st_blocks * 512


def test_the_proof_counts_what_is_lost_doubled_and_foreign() -> None:
    noted = [Noted(number, 0.0, 0.0) for number in (0, 1, 1, 1, 9)]

    proof = prove(range(4), noted)

    assert (proof.lost, proof.doubled, proof.foreign) == (2, 2, 1)
