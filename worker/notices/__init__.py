"""Notices to admins: failures that repeat (O-15), queues that hold too much or that nobody serves
(O-14).

    failure_minutes ◄── the ledger, with the attempts          Redis: what queues hold
           │                                                            │
           └────────────► Watch, one worker's turn every few seconds ◄──┘
                             │  one transaction: the notice, and the runs that tell it (outbox)
                             ▼
                 operations.send_notice_mail, operations.send_notice_webhook

A notice is opened once, told again in growing intervals while it lasts, and told to be over. Who
looks does not matter: PostgreSQL says whose turn it is, and what is told has been told.
"""
