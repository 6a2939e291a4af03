# The daemon in a container: mount a configuration at /etc/model-monitor and a volume at /var/lib/model-monitor.
# Runs as uid 10001 and needs no writable file system besides that volume and /tmp.
FROM python:3.12.12-slim-bookworm AS build

RUN python -m venv /opt/model-monitor
ENV PATH=/opt/model-monitor/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements.lock .
RUN pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor monitor
RUN pip install --no-deps --no-build-isolation . && pip uninstall --yes pip setuptools

FROM python:3.12.12-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home monitor \
    && install -d -o monitor -g monitor -m 0700 /var/lib/model-monitor
COPY --from=build /opt/model-monitor /opt/model-monitor
COPY configs /usr/share/model-monitor/configs
COPY examples /usr/share/model-monitor/examples
ENV PATH=/opt/model-monitor/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /var/lib/model-monitor
VOLUME /var/lib/model-monitor
EXPOSE 9108
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:9108/-/healthy', timeout=4)"]
ENTRYPOINT ["model-monitor"]
CMD ["run", "-c", "/etc/model-monitor/config.yaml"]
