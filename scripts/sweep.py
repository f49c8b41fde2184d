import sys

from bench.cli import main

sys.exit(main(["sweep", *sys.argv[1:]]))
