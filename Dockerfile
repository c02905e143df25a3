FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/broker \
 && /opt/broker/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY broker ./broker
RUN /opt/broker/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/broker --create-home broker \
 && install -d -o broker -g broker -m 0700 /var/lib/keyring
COPY --from=build /opt/broker /opt/broker
ENV PATH=/opt/broker/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER broker
VOLUME ["/var/lib/broker", "/var/lib/keyring"]
EXPOSE 8080
CMD ["broker", "serve", "--host", "0.0.0.0"]
