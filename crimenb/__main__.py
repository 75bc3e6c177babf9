"`python -m crimenb` is `crimenb`. Written by hand: a notebook that exported this would run it."
import sys

from crimenb.lab.cli import main

if __name__ == "__main__": sys.exit(main())
