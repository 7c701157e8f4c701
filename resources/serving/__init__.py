"""Online serving on one machine: what should serve (`desired`), who sees to it (`supervisor`), and the server: HTTP and gRPC, by the Open Inference Protocol."""
