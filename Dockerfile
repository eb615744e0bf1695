# Three images: `link` without torch, `receiver` and `client` (command and sender service) with it.
# Build arguments, all optional:
#   PYTHON_IMAGE                        base image
#   PIP_INDEX_URL, PIP_EXTRA_INDEX_URL  where packages come from, as pip reads them
#   TORCH                               requirement that chooses torch, such as torch==2.13.0+cpu;
#                                       the CUDA build makes images of 6.4 GB, the CPU build of 1.6
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS python
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp weightcast \
    && install --directory --owner=weightcast --group=weightcast \
       /var/lib/weightcast/data /var/lib/weightcast/models \
       /var/lib/weightcast/parts /var/lib/weightcast/sends
# /tmp can be written to even where the root file system is read-only.
ENV NUMBA_CACHE_DIR=/tmp/numba \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/weightcast

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

FROM builder AS link-dependencies
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY link/requirements.txt ./
RUN pip install --prefix=/install --requirement=requirements.txt

FROM builder AS code
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN pip install hatchling
COPY . .
RUN pip install --prefix=/install --no-deps --no-build-isolation .

# What the link does not import: the other programs, the shipped models and what knows torch.
FROM code AS link-code
RUN cd /install/bin && rm client server \
    && cd /install/lib/python*/site-packages && rm -r weightcast_client weightcast_server \
       weightcast/datasets weightcast/evaluation weightcast/tasks weightcast/training weightcast/models/checkpoints

FROM python AS link
COPY --from=link-dependencies /install /usr/local
COPY --from=link-code /install /usr/local
USER weightcast
EXPOSE 8801
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "weightcast_web.telemetry.probe", "8801"]
CMD ["weightcast-link"]

FROM builder AS dependencies
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG TORCH=torch
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
       > requirements.txt \
    && pip install --prefix=/install --requirement=requirements.txt "${TORCH}"

FROM python AS programs
COPY --from=dependencies /install /usr/local
COPY --from=code /install /usr/local
USER weightcast

FROM programs AS receiver
EXPOSE 8802
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "weightcast_web.telemetry.probe", "8802"]
CMD ["server", "run"]

FROM programs AS client
EXPOSE 8800
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "weightcast_web.telemetry.probe", "8800"]
CMD ["client", "serve"]
