import sys

from bench.cli import main

sys.exit(main(["soak", *sys.argv[1:]]))
