#!/usr/bin/env bash
# Builds Caffe 1.0 from Debian's source package and installs pycaffe and the caffe tool into .venv.
#   tools/install_caffe.sh
# Does nothing when that Caffe is there already; goes on where an interrupted build stopped. As root it installs the Debian
# packages it needs (tools/caffe/packages); otherwise it says which are missing. /etc/apt is left as it is.
#   CAFFE_SOURCE=FILE   take Caffe's source archive from FILE (same checksum, see tools/caffe/pins) instead of through apt
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "error: $*" >&2; exit 2; }
[ $# -eq 0 ] || fail "install_caffe.sh takes no argument, got: $*"
. tools/caffe/pins
venv=.venv work=build/caffe
mkdir -p "$work"
exec 9>"$work/lock"
flock 9  # a second call waits for the first, then finds everything done

packages=$(sed 's/#.*//' tools/caffe/packages | xargs)
installed() { dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' $packages 2>/dev/null | awk '$3 == "ii" {print $1, $2}' | sort -u; }
missing=$(comm -23 <(tr ' ' '\n' <<<"$packages" | sort) <(installed | cut -d' ' -f1 | sort) | xargs)
if [ -n "$missing" ]; then
  install="apt-get install --no-install-recommends $missing"
  [ "$(id -u)" = 0 ] || fail "Debian packages are missing; as root: $install"
  echo "installing Debian packages: $missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >"$work/apt.log" 2>&1 && $install -qy >>"$work/apt.log" 2>&1 ||
    fail "apt-get could not install them: $(grep -m1 '^E:' "$work/apt.log" || tail -n1 "$work/apt.log") ($work/apt.log)"
fi

sum() { sha256sum | cut -d' ' -f1; }
source_stamp=$(cat tools/caffe/pins tools/caffe/patches/* | sum)
stamp=$({ echo "$source_stamp"; cat tools/install_caffe.sh tools/caffe/CMakeLists.txt; installed; } | sum)
if grep -qs "$stamp" "$venv/caffe-build.json"; then
  echo "Caffe is in $venv already"
  exit 0
fi

if [ "$(cat "$work/source/.stamp" 2>/dev/null)" != "$source_stamp" ]; then
  if [ -n "${CAFFE_SOURCE:-}" ]; then
    [ -r "$CAFFE_SOURCE" ] || fail "CAFFE_SOURCE=$CAFFE_SOURCE cannot be read"
    tarball=$CAFFE_SOURCE
  else
    # A source list and package lists of our own: apt fetches and verifies, the system's configuration is not touched.
    apt=$PWD/$work/apt tarball=$work/apt/$archive
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | awk '$2 == "main" && !/security/ {print $1; exit}')
    [ -n "$mirror" ] || fail "apt knows no Debian mirror; give Caffe's source as CAFFE_SOURCE=FILE ($archive)"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$apt/sources.list"
    options="-q -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists=$apt/lists
             -o Dir::Cache=$apt/cache -o APT::Sandbox::User=$(id -un)"
    echo "fetching Caffe's source through apt"
    (cd "$apt" && apt-get $options update && apt-get $options source --download-only --tar-only "caffe=$version") \
      >"$work/source.log" 2>&1 ||
      fail "apt-get source caffe=$version failed: $(grep -m1 '^E:' "$work/source.log"); CAFFE_SOURCE=FILE takes a copy of $archive"
  fi
  found=$(sum <"$tarball")
  [ "$found" = "$sha256" ] || fail "$tarball: sha256 is $found, expected $sha256 ($archive)"
  rm -rf "$work/source" "$work/build"
  mkdir -p "$work/source"
  tar xzf "$tarball" -C "$work/source"
  for change in tools/caffe/patches/*.patch; do
    patch -d "$work/source" -p1 --quiet --no-backup-if-mismatch <"$change" || fail "$change does not apply to $archive"
  done
  echo "$source_stamp" >"$work/source/.stamp"
fi

# A clone that was moved keeps its old place in CMake's cache.
grep -qs "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/tools/caffe$" "$work/build/CMakeCache.txt" || rm -rf "$work/build"
[ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv --system-site-packages --without-pip "$venv"
cmake -G Ninja -S tools/caffe -B "$work/build" -DCAFFE_SOURCE="$PWD/$work/source" -DCMAKE_INSTALL_PREFIX="$PWD/$venv" \
  -DCMAKE_INSTALL_LIBDIR=lib -DPython3_EXECUTABLE=/usr/bin/python3 >"$work/cmake.log" 2>&1 ||
  fail "CMake could not configure Caffe: $(grep -A2 -m1 'CMake Error' "$work/cmake.log" | xargs) ($work/cmake.log)"
echo "compiling Caffe"
cmake --build "$work/build" || fail "Caffe did not compile; the message is above"
cmake --install "$work/build" >"$work/install.log"

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
printf '{"gpu": false, "caffe": "%s", "stamp": "%s"}\n' "$version" "$stamp" >"$venv/caffe-build.json.new"
mv "$venv/caffe-build.json.new" "$venv/caffe-build.json"
echo "Caffe is in $venv"
