# The daemon in a container: mount a configuration at /etc/model-monitor and a volume at /var/lib/model-monitor.
FROM python:3.12-slim

WORKDIR /usr/src/model-monitor
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY monitor monitor
COPY configs configs
COPY examples examples
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

RUN useradd --system --uid 10001 --no-create-home monitor \
    && install -d -o monitor -g monitor -m 0700 /var/lib/model-monitor
USER monitor
WORKDIR /var/lib/model-monitor
VOLUME /var/lib/model-monitor
EXPOSE 9108
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:9108/-/healthy', timeout=4)"]
ENTRYPOINT ["model-monitor"]
CMD ["run", "-c", "/etc/model-monitor/config.yaml"]
