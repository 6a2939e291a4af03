#!/usr/bin/env bash
# Install what the tests run beside Python: Prometheus, Alertmanager, a browser, Maven with Java for Kafka, and checkers.
# Does nothing where all is there. Without apt-get or the right to use it, says what is missing: the tests that
# need it are then skipped, or fail where CI=true.
set -euo pipefail

declare -A package=(
    [prometheus]=prometheus [promtool]=prometheus [prometheus-alertmanager]=prometheus-alertmanager
    [chromium]=chromium [mvn]=maven [java]=default-jre-headless [openssl]=openssl
    [docker-compose]=docker-compose [systemd-analyze]=systemd [zsh]=zsh
)

missing() {
    local tool
    for tool in "${!package[@]}"; do
        command -v "$tool" >/dev/null || command -v "${tool#prometheus-}" >/dev/null || echo "${package[$tool]}"
    done | sort -u
}

wanted=$(missing)
[ -z "$wanted" ] && exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${root[@]}" true 2>/dev/null; then
    echo "not installed, so their tests are skipped:" $wanted >&2
    exit 0
fi

# Debian starts services as it installs them; this machine is not to run a second Prometheus because of tests.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod +x "$policy"
fi
echo "installing for the tests:" $wanted >&2
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted >/dev/null
