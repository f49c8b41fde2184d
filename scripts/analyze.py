import sys

from bench.cli import main

sys.exit(main(["analyze", *sys.argv[1:]]))
