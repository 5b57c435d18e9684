"""After the start of a process the collector leaves what it holds alone, and still frees new cycles."""

import gc
import subprocess
import sys

SCRIPT = """
import gc, weakref
from oms_app.bootstrap.collector import collect_rarely

class Node: pass

before = len(gc.get_objects())
collect_rarely()
assert gc.get_freeze_count() >= before // 2, gc.get_freeze_count()
node = Node(); node.itself = node
gone = weakref.ref(node)
del node
for _ in range(3):
    kept = [[] for _ in range(gc.get_threshold()[0])]
assert gone() is None
print("done")
"""


def test_what_was_there_at_the_start_is_frozen_and_new_cycles_are_freed() -> None:
    assert gc.isenabled()
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr
