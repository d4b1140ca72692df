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

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/connector --create-home connector
COPY --from=build /opt/connector /opt/connector
ENV PATH=/opt/connector/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CONNECTOR_DATABASE_URL=sqlite:////var/lib/connector/connector.db
USER connector
WORKDIR /var/lib/connector
VOLUME /var/lib/connector
# `status` reads the database only: it fails when the database is absent, older than the program, or locked.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["connector", "status", "--health"]
CMD ["python", "-m", "scheduler"]
