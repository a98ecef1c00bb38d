"""Caffe's own log at errors only, where the user did not set it; imported before Caffe, which reads it."""

import os

os.environ.setdefault("GLOG_minloglevel", "2")
