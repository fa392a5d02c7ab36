"""Several worker processes as one: `deskhand run --processes N`.

A supervisor starts N ordinary workers, starts them again when they die, and passes on when to stop.
It shares `HOST:PORT` among them: whichever accepts a request answers it, for all of them where it
is about health or metrics, which they ask of each other over sockets of their own.
"""

from worker.group.member import Member, Orders
from worker.group.siblings import Siblings
from worker.group.supervisor import Patience, Program, Supervisor

__all__ = ["Member", "Orders", "Patience", "Program", "Siblings", "Supervisor"]
