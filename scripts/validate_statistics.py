import sys

from bench.cli import main

sys.exit(main(["validate", *sys.argv[1:]]))
