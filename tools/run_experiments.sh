#!/usr/bin/env bash
# Runs an experiment of the paper: its rows' stages, what they start from, and the report. What is finished runs nothing; stopped
# or killed anywhere, the same command resumes.
#   tools/run_experiments.sh NAME [--data DIR] [--raw DIR] --out DIR [--scale tiny|short|medium|full] [--rows ROW …]
#                            [--splits 0,2-4] [--dry-run | --emit shell|sbatch] [--cores N] [--threads N] [--gpus N] [--profile DIR]
# NAME: table1, table2, table3 or fig2, files of experiments/, or a file of your own. Installs Snakemake into build/ when
# it is first needed, through pip (and pip, as root); --dry-run and --emit need none.
set -euo pipefail
here=$PWD
cd "$(dirname "$(readlink -f -- "$0")")/.."
root=$PWD
fail() { echo "error: $*" >&2; exit 2; }
[ -x .venv/bin/python ] || fail ".venv is missing; run tools/install_caffe.sh first"
export GLOG_minloglevel=2    # Caffe's own log: errors only

install() {  # VENV FILE…: what is pinned in the files
  local venv=$1 stamp apt="apt-get install --no-install-recommends python3-pip"
  shift
  stamp=$(cat "$@" | sha256sum)
  [ "$(cat "$venv/.stamp" 2>/dev/null)" != "$stamp" ] || return 0
  if ! /usr/bin/python3 -m pip --version >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || fail "pip is missing; as root: $apt"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive $apt -qy; } >build/snakemake.log 2>&1 ||
      fail "apt-get could not install python3-pip: $(tail -n1 build/snakemake.log) (build/snakemake.log)"
  fi
  echo "installing Snakemake into $venv"
  rm -rf "$venv"
  /usr/bin/python3 -m venv --without-pip "$venv"
  PIP_USER=0 /usr/bin/python3 -m pip --python "$venv/bin/python" install --quiet --no-deps --no-cache-dir \
    --only-binary :all: --require-hashes $(printf -- '-r %s ' "$@") >build/snakemake.log 2>&1 ||
    fail "pip could not install Snakemake: $(grep -m1 '^ERROR' build/snakemake.log || tail -n1 build/snakemake.log)" \
      "(build/snakemake.log)"
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
