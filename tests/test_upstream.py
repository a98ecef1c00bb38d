"""Upstream's own pycaffe unit tests, from Caffe's source package, against the Caffe that tools/install_caffe.sh built."""
import re
import subprocess
import sys
from pathlib import Path

UPSTREAM = Path(__file__).parents[1] / "build/caffe/source/python/caffe/test"


def test_upstreams_pycaffe_tests_pass():
    run = subprocess.run([sys.executable, "-m", "unittest", "discover", "-s", UPSTREAM], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(re.search(r"Ran (\d+) tests", run.stderr)[1]) == 52
    assert "skipped" not in run.stderr
