# Two images: cpu, and gpu (the default), which computes on NVIDIA cards and, without one, on the CPU. See docs/docker.md.
#   docker build -t dtl-reid .                       docker build --target cpu -t dtl-reid:cpu .
#   docker build --build-arg ARCH=90 -t dtl-reid .   for one kind of card alone: faster to build, smaller
# Caffe is built before the project is copied: a change in the project's own code builds nothing again.

FROM debian:bookworm-slim AS use
ENV PATH=/dtl-reid/.venv/bin:$PATH HOME=/tmp
WORKDIR /dtl-reid
# Debian's packages want these for what is never done here: compile Python, draw on a screen, project maps. Empty packages
# in their place keep half a gigabyte, a compiler among it, out of the image.
RUN for package in python3-pythran python3-sympy unicode-data libgl1-mesa-dri iso-codes proj-data; do \
      mkdir -p /tmp/empty/DEBIAN \
   && printf 'Package: %s\nVersion: 99\nArchitecture: all\nMaintainer: dtl-reid\nDescription: left out\n' $package \
      >/tmp/empty/DEBIAN/control \
   && dpkg-deb --build /tmp/empty && dpkg --install /tmp/empty.deb && rm -r /tmp/empty /tmp/empty.deb || exit 1; \
    done
COPY tools/caffe/packages-use tools/caffe/
COPY tools/packages-test tools/
RUN apt-get update -q \
 && sed 's/#.*//' tools/caffe/packages-use tools/packages-test | DEBIAN_FRONTEND=noninteractive xargs apt-get install -qy --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log
# The mounts, under the names that the commands of README.md use. Any user may write: `docker run --user` is any number.
RUN useradd --create-home dtl \
 && mkdir -m 1777 /data /runs /weights && mkdir weights \
 && ln -s /data data && ln -s /runs runs && ln -s /weights weights/files

FROM use AS build
COPY tools/install_caffe.sh tools/
COPY tools/caffe tools/caffe
# Caffe, its licence, and what its own tests read; `sealed` says that all of it is there and nothing is to be built. The
# rest, four gigabytes with CUDA's compiler, stays in no layer.
ENV KEEP=".venv build/caffe/source/LICENSE build/caffe/source/python/caffe/test build/caffe/source/models \
    build/caffe/source/examples"

FROM build AS build-cpu
RUN tools/install_caffe.sh --cpu && touch .venv/sealed && mkdir /kept && cp -al --parents $KEEP /kept && rm -r .venv build

FROM build AS build-gpu
ARG ARCH
RUN tools/install_caffe.sh --gpu ${ARCH:+--arch "$ARCH"} && touch .venv/sealed && mkdir /kept && cp -al --parents $KEEP /kept && rm -r .venv build

FROM use AS cpu
COPY --from=build-cpu /kept .
COPY . .
USER dtl
CMD ["tools/doctor"]

FROM use AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-gpu /kept .
COPY . .
USER dtl
CMD ["tools/doctor"]
