"""Online serving on one machine: what should serve (`desired`), who sees to it (`supervisor`), and KServe's model server (`server`)."""
