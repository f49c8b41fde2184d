import sys

from bench.cli import main

sys.exit(main(["watch", *sys.argv[1:]]))
