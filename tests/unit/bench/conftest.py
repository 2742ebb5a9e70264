"""The benchmark lies beside src/ and tests/, where it is run from."""

import os
import sys

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..")))
