"""The `novaloop` command."""

import os

# There is no linear algebra here that NumPy should start threads for.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
