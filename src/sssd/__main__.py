"""`python -m sssd` is the command `sssd-ecg`."""

import sys

from .cli import main

sys.exit(main())
