import sys

from bench.cli import main

sys.exit(main(["list", *sys.argv[1:]]))
