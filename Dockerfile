# A tag moves; docs/operating.md says how to give the digest of today's.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/broker \
 && /opt/broker/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY broker ./broker
RUN /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/broker/bin/pip install --no-cache-dir --no-index --no-deps /dist/*.whl

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --home-dir /var/lib/broker --create-home broker \
 && install -d -o broker -g broker -m 0700 /var/lib/keyring
COPY --from=build /opt/broker /opt/broker
ENV PATH=/opt/broker/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER broker
VOLUME ["/var/lib/broker", "/var/lib/keyring"]
EXPOSE 8080
CMD ["broker", "serve", "--host", "0.0.0.0"]
