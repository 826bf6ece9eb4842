"""``python -m asya.operator``."""

import sys

from asya.operator.main import main

sys.exit(main())
