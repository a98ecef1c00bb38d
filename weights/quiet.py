"""Caffe's own log at errors only, where the user did not set it. Imported before Caffe, which reads it then."""

import os

os.environ.setdefault("GLOG_minloglevel", "2")
