"""What the monitor shows over HTTP: Prometheus metrics, probes, a JSON API and a status page."""
