"""``python -m bench`` is the console command ``optimizer-bench``."""

import sys

from bench.cli import main

sys.exit(main())
