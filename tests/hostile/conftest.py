"""The worker is a script beside its modules; the test finds them in the same way."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
