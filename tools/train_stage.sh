#!/bin/sh
# Trains a stage on prepared data, after the stages that it starts from; ranks the test identities before and after, and
# records the result. What is finished is skipped, what is half done resumes.
#   tools/train_stage.sh STAGE --data DIR --out DIR [--base resnet50] [--objective vi|v|i] [--split K|all]
#                        [--recipe paper] [--init FILE | --chain NAME] [--chains FILE] [--dry-run] [--strict] [--wait]
#                        [--gpu N | --cpu] [--set [STAGE.]key=value ...]
root=$(dirname "$(dirname "$(readlink -f -- "$0")")")
if [ ! -x "$root/.venv/bin/python" ]; then
    echo "error: $root/.venv is missing; run tools/install_caffe.sh first" >&2
    exit 2
fi
export GLOG_minloglevel=2    # Caffe's own log: errors only
exec "$root/.venv/bin/python" "$root/tools/train_stage.py" "$@"
