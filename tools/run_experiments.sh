#!/usr/bin/env bash
# Runs an experiment of the paper: its rows' stages, what they start from, and the report. What is finished runs nothing; stopped
# or killed anywhere, the same command resumes.
#   tools/run_experiments.sh NAME [--data DIR] [--raw DIR] --out DIR [--scale tiny|short|medium|full] [--rows ROW …]
#                            [--splits 0,2-4] [--dry-run | --emit shell|sbatch] [--cores N] [--threads N] [--gpus N] [--profile DIR]
# NAME: table1, table2, table3 or fig2, files of experiments/, or a file of your own. Installs Snakemake into build/ when
# it is first needed (tools/install_pinned.sh); --dry-run and --emit need none.
set -euo pipefail
here=$PWD
cd "$(dirname "$(readlink -f -- "$0")")/.."
root=$PWD
fail() { echo "error: $*" >&2; exit 2; }
[ -x .venv/bin/python ] || fail ".venv is missing; run tools/install_caffe.sh first"
export GLOG_minloglevel=2    # Caffe's own log: errors only

install() {  # VENV FILE…: what is pinned in the files
  local venv=$1 stamp
  shift
  stamp=$(cat "$@" | sha256sum)
  [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || return 0
  echo "installing Snakemake into $venv"
  rm -rf "$venv"
  /usr/bin/python3 -m venv --without-pip "$venv"
  tools/install_pinned.sh "$venv" build/snakemake.log "$@"
  echo "$stamp" >"$venv/.stamp"
}
mkdir -p build
pinned=tools/snakemake/requirements.txt
case " $* " in
  *" --dry-run "* | *" --emit"* | *" --help "* | *" -h "*) ;;
  *" --profile"*) install build/snakemake-slurm $pinned tools/snakemake/slurm-requirements.txt ;;
  *) install build/snakemake $pinned ;;
esac
cd "$here"
exec "$root/.venv/bin/python" "$root/tools/run_experiments.py" "$@"
