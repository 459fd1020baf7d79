"""`python -m tidings` is `tidings`."""

import sys

from tidings.workers.cli import main

if __name__ == "__main__":
    sys.exit(main())
