"""``python -m jaxnas``."""

import sys

from jaxnas import setup
from jaxnas.cli import main

setup.use_all_cores()
setup.keep_programs()
sys.exit(main(sys.argv[1:]))
