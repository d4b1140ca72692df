FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY connector ./connector
COPY mappings ./mappings
COPY fixtures/demo ./fixtures/demo
COPY scheduler.py ./
RUN python -m venv /opt/connector \
    && /opt/connector/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && /opt/connector/bin/pip install --no-cache-dir hatchling==1.33.0 \
    && /opt/connector/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/connector/bin/pip uninstall --yes hatchling

FROM python:3.11-slim AS service
RUN useradd --system --uid 10001 --home-dir /var/lib/connector --create-home connector
COPY --from=build /opt/connector /opt/connector
# In a container, what reaches the API is decided by what its port is published to.
ENV PATH=/opt/connector/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CONNECTOR_HTTP__HOST=0.0.0.0 \
    CONNECTOR_DATABASE_URL=sqlite:////var/lib/connector/connector.db
# By number, so that Kubernetes can check that it is not root. Nothing outside of the volume is written.
USER 10001
WORKDIR /var/lib/connector
VOLUME /var/lib/connector
EXPOSE 8080
# `status` reads the database only: it fails when the database is absent, older than the program, or locked.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["connector", "status", "--health"]
CMD ["python", "-m", "scheduler"]

# With the local org, for deploy/compose/try.yaml: `docker build --target try .`
FROM build AS build-try
COPY requirements-demo.lock ./
RUN /opt/connector/bin/pip install --no-cache-dir --require-hashes -r requirements-demo.lock

FROM service AS try
USER 0
RUN install -d -o connector /org
COPY --from=build-try /opt/connector /opt/connector
USER 10001

# What `docker build .` makes.
FROM service
