import sys

from bench.cli import main

sys.exit(main(["benchmark", *sys.argv[1:]]))
