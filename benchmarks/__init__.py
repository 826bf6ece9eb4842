import os

# Before anything loads gRPC: it tells of each worker that is started beside its threads.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
