"""How TensorFlow is imported: quietly, and without what Keras would import only to accept it as an argument."""

import json
import subprocess
import sys

import pytest

from config import ROOT

pytestmark = pytest.mark.slow

PROGRAM = """
import json, sys, threading
from app.ml import backend
meanwhile = threading.Thread(target=__import__, args=("sklearn",))
finder = backend._OptionalFinder
class Waiting(finder):
    def __init__(self):
        super().__init__()
        meanwhile.start()  # another thread may import at the same time what Keras must not
        meanwhile.join()
backend._OptionalFinder = Waiting
backend.keras()
print(json.dumps(["matplotlib" in sys.modules, "sklearn" in sys.modules, backend.is_imported()]))
import matplotlib.figure, sklearn.metrics
"""


def test_keras_imports_no_optional_library_and_others_still_may():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == [False, True, True]
