# A tag moves; docs/running/compose.md says how to give the digest of today's.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock requirements-docs.lock ./
# Nothing is compiled: every package of the lock comes as a wheel. Of botocore's models
# those stay that the broker serves or calls.
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.lock \
 && python -m venv --without-pip /opt/broker \
 && /opt/build/bin/pip --python /opt/broker/bin/python install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r requirements.lock \
 && find /opt/broker/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name accessanalyzer ! -name cloudtrail ! -name iam ! -name rolesanywhere ! -name signin ! -name sso ! -name sso-oidc ! -name sts \
      -exec rm -r {} + \
 && python -m venv /opt/docs \
 && /opt/docs/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-docs.lock
COPY pyproject.toml README.md CHANGELOG.md LICENSE compose.yaml ./
COPY samples ./samples
COPY docs ./docs
COPY broker ./broker
RUN /opt/docs/bin/python -m sphinx -q -W -n -E --keep-going -d /tmp/doctrees docs broker/edges/site \
 && /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/broker/bin/python install --no-cache-dir --no-index --no-deps /dist/*.whl

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /var/lib/broker --no-create-home broker \
 && install -d -o broker -g broker -m 0700 /var/lib/broker /var/lib/keyring
COPY --from=build /opt/broker /opt/broker
ENV PATH=/opt/broker/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    BROKER_DATA_DIR=/var/lib/broker
# A number, so that Kubernetes can see that it is not root.
USER 10001
WORKDIR /var/lib/broker
VOLUME ["/var/lib/broker"]
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=6 \
  CMD ["python", "-I", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
# An account and the link to sign in, once, in the log; then the broker.
CMD ["broker", "serve", "--host", "0.0.0.0", "--init"]
