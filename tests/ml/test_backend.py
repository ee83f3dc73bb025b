"""How TensorFlow is imported: quietly, without what Keras would import only to accept it as an argument, and once."""

import json
import subprocess
import sys

import pytest

from config import ROOT

pytestmark = pytest.mark.slow

PROGRAM = """
import gc, json, sys, threading
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
print(json.dumps([len(gc.get_objects()), gc.get_freeze_count()]))
import matplotlib.figure, sklearn.metrics
"""


def test_keras_imports_no_optional_library_and_leaves_nothing_for_garbage_collections_to_walk_over():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    found, (collected, set_aside) = map(json.loads, ran.stdout.splitlines())
    assert found == [False, True, True]
    assert set_aside > 20 * collected, "a collection of garbage walks over all of TensorFlow, and holds the pages up"
