import sys

from bench.cli import main

sys.exit(main(["report", *sys.argv[1:]]))
