"""`python -m perennial`: the command line."""

from perennial.cli import main

main()
