"""``python -m training``: ``quartet train`` without the command, for torchrun."""

import sys

from training.cli import train

if __name__ == "__main__":
    sys.exit(train(sys.argv[1:]))
