FROM python:3.12-slim AS builder

WORKDIR /build
COPY requirements.txt ./
# pip stays outside of the environment it fills; the packages' own tests are left behind.
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check --no-compile \
        --require-hashes --requirement requirements.txt \
 && find /venv -type d -name tests -prune -exec rm -rf {} + \
 && python -m compileall -q -j 0 /venv/lib
COPY app /service/app
RUN python -m compileall -q /service/app


FROM python:3.12-slim

RUN groupadd --gid 10001 service && useradd --uid 10001 --gid service --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin service
WORKDIR /service
COPY --from=builder /venv /venv
COPY --from=builder /service/app app
COPY data4db data4db
COPY sbom.cdx.json ./

# Nothing is written to the root file system; the matrices are small, so more threads only get in each other's way.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    LOG_FILENAME="" \
    PORT=80
USER 10001:10001
EXPOSE 80
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthcheck', timeout=2)"]
CMD ["python", "-m", "app", "serve"]
