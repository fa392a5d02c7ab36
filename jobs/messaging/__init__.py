"""How every mail and SMS is written: whom to, in whose name, in which words, and when."""
