#!/usr/bin/env bash
# Prometheus's tool for rules and metrics, and Prometheus beside it: what Debian has, which is installed if it
# is not there (root). Its own service is not started. Prints PROMTOOL=path.
set -euo pipefail
if ! command -v promtool >/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "promtool is missing: install Prometheus" >&2; exit 1; }
  mkdir -p "${1:?usage: promtool.sh CACHE_DIR}"
  exec 9>"$1/.promtool.lock"; flock 9
  if ! command -v promtool >/dev/null; then
    apt-get update -q >&2
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends prometheus >&2
  fi
fi
echo "PROMTOOL=$(command -v promtool)"
