"""``python -m tacs``: the same as the command ``tacs``."""

from tacs.cli import main

main()
