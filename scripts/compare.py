import sys

from bench.cli import main

sys.exit(main(["compare", *sys.argv[1:]]))
