#!/usr/bin/env bash
# Kinesis from npm, on loopback. KINESIS_SERVER=kinesis-local (default: nearly all operations, some hundred records/s)
# or kinesalite (fewer operations, thousands of records/s). Both MIT/Apache-2.0, plain JS on Node 20.
#   start-kinesis.sh CACHE_DIR [RUN_DIR] [PORT]
# Prints shell assignments. Stop: kill -TERM $KINESIS_PID. KINESIS_PERSIST=1 keeps streams in RUN_DIR
# (kinesis-local then writes all of its state again every second: only for few records).
set -euo pipefail
SERVER=${KINESIS_SERVER:-kinesis-local}
LOCAL=0.6.2 LITE=3.3.3
mkdir -p "${1:?usage: start-kinesis.sh CACHE_DIR [RUN_DIR] [PORT]}"
CACHE=$(cd "$1" && pwd)/kinesis; mkdir -p "$CACHE"
RUN=${2:-$(mktemp -d "${TMPDIR:-/tmp}/kinesis.XXXXXX")}; mkdir -p "$RUN"; RUN=$(cd "$RUN" && pwd)
free_port() { python3 -c 'import socket;s=socket.socket();s.bind(("127.0.0.1",0));print(s.getsockname()[1])'; }
PORT=${3:-$(free_port)}
exec 9>"$CACHE/.lock"; flock 9
# both bind all addresses and have no option for it: this makes every listener of the process local
cat >"$CACHE/loopback.cjs" <<'J'
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...a) {
  if (a[0] && typeof a[0] === 'object' && 'port' in a[0]) a[0] = { ...a[0], host: '127.0.0.1' };
  else if (typeof a[0] === 'number' || /^\d+$/.test(a[0])) {
    if (typeof a[1] === 'string') a[1] = '127.0.0.1'; else a.splice(1, 0, '127.0.0.1');
  }
  return listen.apply(this, a);
};
J
case $SERVER in
  kinesis-local)
    PKG=$CACHE/kinesis-local-$LOCAL
    if [ ! -e "$PKG/main.js" ]; then
      W=$(mktemp -d "$CACHE/.new.XXXXXX")
      # npm pack and tar: it has no dependencies, and no script of it is run
      (cd "$W" && npm pack --silent "kinesis-local@$LOCAL" >/dev/null && tar -xzf kinesis-local-*.tgz) >&2
      rm -f "$W/package/main.js.map"; mv "$W/package" "$PKG"; rm -rf "$W"
    fi;;
  kinesalite)
    PKG=$CACHE/kinesalite-$LITE
    if [ ! -e "$PKG/node_modules/kinesalite/cli.js" ]; then
      W=$(mktemp -d "$CACHE/.new.XXXXXX"); echo '{"private":true}' >"$W/package.json"
      (cd "$W" && npm install --silent --no-audit --no-fund --no-package-lock "kinesalite@$LITE") >&2
      rm -rf "$PKG"; mv "$W" "$PKG"
    fi;;
  *) echo "KINESIS_SERVER: kinesis-local or kinesalite" >&2; exit 2;;
esac
flock -u 9; exec 9>&-
T0=$(date +%s%N)
DELAY=${KINESIS_STATE_DELAY_MS:-50}
cd "$RUN"
if [ "$SERVER" = kinesis-local ]; then
  export KINESIS_MOCK_PLAIN_PORT=$PORT KINESIS_MOCK_TLS_PORT=$(free_port) KINESIS_MOCK_CERT_PATH=$PKG/server.json
  export SHARD_LIMIT=${SHARD_LIMIT:-500} LOG_LEVEL=${LOG_LEVEL:-WARN} AWS_REGION=${AWS_REGION:-us-east-1}
  for v in CREATE_STREAM DELETE_STREAM REGISTER_STREAM_CONSUMER DEREGISTER_STREAM_CONSUMER MERGE_SHARDS SPLIT_SHARD UPDATE_SHARD_COUNT UPDATE_STREAM_MODE; do
    export ${v}_DURATION=${DELAY}ms
  done
  [ -z "${KINESIS_PERSIST:-}" ] || export SHOULD_PERSIST_DATA=true PERSIST_PATH=$RUN PERSIST_INTERVAL=1s
  setsid node -r "$CACHE/loopback.cjs" "$PKG/main.js" </dev/null >>"$RUN/kinesis.log" 2>&1 &
else
  ARGS=(--port "$PORT" --createStreamMs "$DELAY" --deleteStreamMs "$DELAY" --updateStreamMs "$DELAY" --shardLimit "${SHARD_LIMIT:-500}")
  [ -z "${KINESIS_PERSIST:-}" ] || ARGS+=(--path "$RUN/level")
  setsid node -r "$CACHE/loopback.cjs" "$PKG/node_modules/kinesalite/cli.js" "${ARGS[@]}" </dev/null >>"$RUN/kinesis.log" 2>&1 &
fi
PID=$!; echo $PID >"$RUN/pid"
ok=
for _ in $(seq 1 600); do
  # any HTTP answer will do: kinesalite has no health page
  curl -s -m 2 -o /dev/null "http://127.0.0.1:$PORT/healthcheck" && { ok=1; break; }
  kill -0 $PID 2>/dev/null || break
  sleep 0.05
done
[ -n "$ok" ] || { cat "$RUN/kinesis.log" >&2; echo "$SERVER did not start" >&2; exit 1; }
echo "KINESIS_URL=http://127.0.0.1:$PORT"
echo "KINESIS_PID=$PID"
echo "KINESIS_DATA=$RUN"
echo "KINESIS_START_MS=$(( ($(date +%s%N)-T0)/1000000 ))"
