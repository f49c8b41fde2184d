import sys

from bench.cli import main

sys.exit(main(["merge", *sys.argv[1:]]))
