#!/usr/bin/env bash
# Builds Caffe 1.0 from Debian's source package and installs pycaffe and the caffe tool into .venv.
#   tools/install_caffe.sh [--cpu | --gpu [--arch "86 90"]]
#     --cpu    for the CPU alone
#     --gpu    for NVIDIA cards too, with CUDA 13 and cuDNN 9: 1 GB through pip, from where yours is set up to look
#     --arch   for cards of these compute capabilities only, written without the point: sooner built, smaller
# Without --cpu or --gpu it keeps the kind of build that is there, and begins with the CPU's. Does nothing when that
# Caffe is there already; resumes an interrupted download or build. As root it installs the Debian
# packages it needs (tools/caffe/packages-use to run Caffe; packages, packages-gpu to build it); otherwise it says
# which are missing. /etc/apt is left as it is.
#   CAFFE_MIRROR=URL    take Caffe's source from this Debian mirror or archive, not from the one that apt uses
#   CAFFE_SOURCE=FILE   take it from FILE, not through apt (in both cases with the checksum of tools/caffe/pins)
set -euo pipefail
[ -z "${CAFFE_SOURCE:-}" ] || CAFFE_SOURCE=$(realpath -m -- "$CAFFE_SOURCE")  # from where it was given
cd "$(dirname "$(readlink -f -- "$0")")/.."
fail() { echo "error: $*" >&2; exit 2; }
venv=.venv work=build/caffe
all="75 80 86 89 90 100 120" known="75 80 86 87 88 89 90 100 103 110 120 121"  # of CUDA 13.0

kind="" architectures=""
while [ $# -gt 0 ]; do
  case $1 in
    --cpu | --gpu) [ -z "$kind" ] || fail "--$kind and $1: one of them"; kind=${1#--} ;;
    --arch)
      architectures=$(tr ',' ' ' <<<"${2:-}" | xargs)
      [ -n "$architectures" ] || fail "--arch wants one or more of $known"
      shift ;;
    *) fail "install_caffe.sh knows --cpu, --gpu and --arch, not $1" ;;
  esac
  shift
done
for a in $architectures; do
  [[ " $known " = *" $a "* ]] || fail "--arch $a: CUDA 13 builds for $known"
done

present=cpu
if grep -qs '"gpu": true' "$venv/caffe-build.json"; then
  present=gpu
  [ -n "$kind$architectures" ] ||
    architectures=$(sed 's/.*"architectures": \[\([^]]*\)\].*/\1/; s/,//g' "$venv/caffe-build.json")
fi
kind=${kind:-$present}
[ "$kind" = gpu ] || [ -z "$architectures" ] || fail "--arch goes with --gpu"
# An image or a bundle, where nothing is built and nothing may be written.
if [ -e "$venv/sealed" ]; then
  [ "$kind" = "$present" ] ||
    fail "$venv came whole with an image or a bundle, as a $present build; a $kind build needs a clone of its own"
  echo "Caffe is in $venv already"
  exit 0
fi
. tools/caffe/pins
mkdir -p "$work"
exec 9>"$work/lock"
flock 9  # a second call waits for the first, then finds everything done

listed() { sed 's/#.*//' "$@" | xargs; }
installed() {
  dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' "$@" 2>/dev/null |
    awk '$3 == "ii" {print $1, $2}' | sort -u || true  # dpkg-query fails where one is not known
}
need() {
  local packages missing install
  packages=$(listed "$@")
  missing=$(comm -23 <(tr ' ' '\n' <<<"$packages" | sort) <(installed $packages | cut -d' ' -f1) | xargs)
  [ -n "$missing" ] || return 0
  install="apt-get install --no-install-recommends $missing"
  [ "$(id -u)" = 0 ] || fail "Debian packages are missing; as root: $install"
  echo "installing Debian packages: $missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >"$work/apt.log" 2>&1 && $install -qy >>"$work/apt.log" 2>&1 ||
    fail "apt-get could not install them: $(grep -m1 '^E:' "$work/apt.log" || tail -n1 "$work/apt.log")" \
      "($work/apt.log)"
}
sum() { sha256sum | cut -d' ' -f1; }
wheels=tools/caffe/cuda-requirements.txt
build=$work/build lists="tools/caffe/packages-use tools/caffe/packages" about=""
recipe="tools/caffe/CMakeLists.txt tools/caffe/engine/*"
if [ "$kind" = gpu ]; then
  architectures=$(tr ' ' '\n' <<<"${architectures:-$all}" | sort -nu | xargs)
  build=$work/build-gpu lists="$lists tools/caffe/packages-gpu" recipe="$recipe tools/caffe/cuda.cmake $wheels"
  pinned() { sed -n "s/^$1==\([^ ]*\) .*/\1/p" $wheels; }
  about=$(printf ', "cuda": "%s", "cudnn": "%s", "architectures": [%s]' "$(pinned nvidia-cuda-runtime)" \
    "$(pinned nvidia-cudnn-cu13)" "${architectures// /, }")
fi
source_stamp=$(cat tools/caffe/pins tools/caffe/patches/* | sum)
finish_if_there() {  # the same recipe, and the same versions of what Caffe runs with
  stamp=$({
    echo "$source_stamp $kind $architectures"
    cat $recipe
    sed -n '/^# What follows is built/,$p' tools/install_caffe.sh
    installed $(listed tools/caffe/packages-use)
  } | sum)
  ! grep -qs "$stamp" "$venv/caffe-build.json" || { echo "Caffe is in $venv already"; exit 0; }
}
finish_if_there
need $lists
finish_if_there

pip() {
  PIP_USER=0 /usr/bin/python3 -m pip "$@" --quiet --no-deps --no-cache-dir --require-hashes >"$work/pip.log" 2>&1
}
pip_said() { echo "$(grep -m1 '^ERROR' "$work/pip.log" || tail -n1 "$work/pip.log") ($work/pip.log)"; }
if [ "$kind" = gpu ] && [ "$(cat "$work/cuda/.stamp" 2>/dev/null)" != "$(sum <$wheels)" ]; then
  mkdir -p "$work/wheels"
  have=$(sha256sum "$work"/wheels/*.whl 2>/dev/null || true)
  while read -r wheel; do
    [[ "$have" = *"${wheel##*:}"* ]] && continue
    echo "fetching ${wheel%% *} through pip"
    echo "$wheel" >"$work/wheels/wheel.txt"
    pip download --only-binary :all: -d "$work/wheels" -r "$work/wheels/wheel.txt" ||
      fail "pip could not fetch ${wheel%% *}: $(pip_said)"
  done < <(grep -v '^#' "$wheels")
  rm -rf "$work/cuda"
  echo "unpacking CUDA"
  pip install --no-index --no-compile --find-links "$work/wheels" --target "$work/cuda" -r $wheels ||
    fail "pip could not unpack CUDA: $(pip_said)"
  sum <$wheels >"$work/cuda/.stamp"
  rm -rf "$work/wheels"
fi

if [ "$(cat "$work/source/.stamp" 2>/dev/null)" != "$source_stamp" ]; then
  if [ -n "${CAFFE_SOURCE:-}" ]; then
    [ -r "$CAFFE_SOURCE" ] || fail "CAFFE_SOURCE=$CAFFE_SOURCE cannot be read"
    tarball=$CAFFE_SOURCE
  else
    # A source list and package lists of our own: apt fetches and verifies, the system's configuration is not touched.
    apt=$PWD/$work/apt tarball=$work/apt/$archive
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    other="CAFFE_MIRROR=URL takes it from a Debian mirror or archive that still has $release,"
    other="$other CAFFE_SOURCE=FILE from a copy of $archive"
    mirror=${CAFFE_MIRROR:-} trust="trusted=yes check-valid-until=no"  # an archive's keys expire; the checksum does not
    if [ -z "$mirror" ]; then
      trust=signed-by=/usr/share/keyrings/debian-archive-keyring.gpg
      mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
        awk '$2 == "main" && !/security/ {print $1; exit}')
    fi
    [ -n "$mirror" ] || fail "apt knows no Debian mirror to take Caffe's source from; $other"
    echo "deb-src [$trust] $mirror $release main" >"$apt/sources.list"
    options="-q -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=/dev/null
             -o Dir::State::lists=$apt/lists -o Dir::Cache=$apt/cache -o APT::Sandbox::User=$(id -un)"
    echo "fetching Caffe's source through apt"
    (cd "$apt" && apt-get $options update && apt-get $options source --download-only --tar-only "caffe=$version") \
      >"$work/source.log" 2>&1 ||
      fail "$mirror does not give Caffe's source, caffe=$version: $(grep -m1 '^E:' "$work/source.log"); $other"
  fi
  found=$(sum <"$tarball")
  [ "$found" = "$sha256" ] || fail "$tarball: sha256 is $found, expected $sha256 ($archive)"
  rm -rf "$work/source" "$work/build" "$work/build-gpu"
  mkdir -p "$work/source"
  tar xzf "$tarball" -C "$work/source"
  for change in tools/caffe/patches/*.patch; do
    patch -d "$work/source" -p1 --fuzz=0 --quiet --no-backup-if-mismatch <"$change" ||
      fail "$change does not apply to $archive"
  done
  echo "$source_stamp" >"$work/source/.stamp"
fi

# What follows is built again where a line of it changes, what is above is not.
# A clone that was moved keeps its old place in CMake's cache.
grep -qs "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/tools/caffe$" "$build/CMakeCache.txt" || rm -rf "$build"
[ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv --system-site-packages --without-pip "$venv"
set -- -DCAFFE_SOURCE="$PWD/$work/source" -DCMAKE_INSTALL_PREFIX="$PWD/$venv" -DCMAKE_INSTALL_LIBDIR=lib \
  -DPython3_EXECUTABLE=/usr/bin/python3
[ "$kind" = cpu ] || set -- "$@" -DCUDA="$PWD/$work/cuda/nvidia" -DARCHITECTURES="${architectures// /;}"
cmake -G Ninja -S tools/caffe -B "$build" "$@" >"$work/cmake.log" 2>&1 ||
  fail "CMake could not configure Caffe: $(grep -A2 -m1 'CMake Error' "$work/cmake.log" | xargs)" "($work/cmake.log)"
echo "compiling Caffe"
cmake --build "$build" || fail "Caffe did not compile; the message is above"
rm -rf "$venv/caffe-build.json" "$venv/lib/cuda"
cmake --install "$build" >"$work/install.log"

# The caffe tool holds a Python of its own for Python layers: with .venv first on the PATH it finds this one.
cat >"$venv/bin/caffe" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
PATH="$here:$PATH" exec "$here/../lib/caffe/caffe" "$@"
WRAPPER
chmod +x "$venv/bin/caffe"
# `import reid` and `import data_prep` work in .venv from any folder; relative, so that the clone can be moved.
site=$(echo "$venv"/lib/python3.*/site-packages)
printf '../../../..\n../../../../python\n' >"$site/project.pth"
"$venv/bin/python" -c 'import caffe' || fail "the Caffe just built does not import"
gpu=$([ "$kind" = gpu ] && echo true || echo false)
printf '{"gpu": %s, "caffe": "%s"%s, "stamp": "%s"}\n' "$gpu" "$version" "$about" "$stamp" \
  >"$venv/caffe-build.json.new"
mv "$venv/caffe-build.json.new" "$venv/caffe-build.json"
echo "Caffe is in $venv"
