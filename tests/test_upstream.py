"""Upstream's own pycaffe unit tests, from Caffe's source, on the Caffe that tools/install_caffe.sh built."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UPSTREAM = Path(__file__).parents[1] / "build/caffe/source/python/caffe/test"


@pytest.mark.skipif(shutil.which("dot") is None,
                    reason="graphviz is not installed; one of the tests draws a net")
def test_upstreams_pycaffe_tests_pass(tmp_path):
    run = subprocess.run([sys.executable, "-m", "unittest", "discover", "-s", UPSTREAM],
                         capture_output=True, text=True, cwd=tmp_path)    # they write where they are
    assert run.returncode == 0, run.stderr
    assert int(re.search(r"Ran (\d+) tests", run.stderr)[1]) == 52
    assert "skipped" not in run.stderr
