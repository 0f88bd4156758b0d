"""``python -m quartet``."""

import sys

from quartet.cli import main

sys.exit(main())
