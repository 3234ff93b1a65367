# Farebox with an external PostgreSQL (see compose.yaml). Without FAREBOX_DATABASE_URL it starts its embedded one in the
# volume /var/lib/farebox.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/farebox \
 && /opt/farebox/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/farebox/bin/pip install --no-cache-dir --no-build-isolation --no-deps --no-index . \
 && /opt/farebox/bin/pip uninstall --yes --quiet setuptools pip

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/farebox --shell /usr/sbin/nologin farebox \
 && install -d -o farebox -g farebox -m 0711 /var/lib/farebox
COPY --from=build /opt/farebox /opt/farebox
ENV PATH=/opt/farebox/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FAREBOX_HOST=0.0.0.0 \
    FAREBOX_PORT=8080 \
    FAREBOX_DATA_DIR=/var/lib/farebox
USER farebox
VOLUME /var/lib/farebox
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"FAREBOX_PORT\"]}/livez', timeout=2)"]
ENTRYPOINT ["farebox"]
CMD ["serve"]
