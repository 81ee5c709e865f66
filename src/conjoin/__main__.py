"""`python -m conjoin` is `conjoin`."""

from conjoin.cli import main

if __name__ == "__main__":
    main()
