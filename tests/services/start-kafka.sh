#!/usr/bin/env bash
# Real Apache Kafka broker, single node, KRaft (no ZooKeeper).
#   start-kafka.sh CACHE_DIR [DATA_DIR] [PORT]
# CACHE_DIR: jars are put here once (mvn); later starts need no network.
# DATA_DIR : new one by default; an old one restarts with its ports and data.
# One listener is plain; another wants TLS and SCRAM (user pins, password pins-secret).
# KAFKA_IAM=1 adds a third, which wants what Amazon MSK wants: iam/MskIam.java, for which javac has to be there.
# KAFKA_PROXIED="PORT ADVERTISED" adds a plain one at PORT that tells clients to come to ADVERTISED, where a proxy is.
# Prints shell assignments. Stop: kill -TERM $KAFKA_PID (or kill -9 for crash tests).
set -euo pipefail
VERSION=${KAFKA_VERSION:-4.3.1}
mkdir -p "${1:?usage: start-kafka.sh CACHE_DIR [DATA_DIR] [PORT]}"
CACHE=$(cd "$1" && pwd)/kafka-$VERSION
DATA=${2:-$(mktemp -d "${TMPDIR:-/tmp}/kafka-data.XXXXXX")}
PORT=${3:-}
mkdir -p "$DATA" "$CACHE"; DATA=$(cd "$DATA" && pwd)
# C1 only and the serial collector: a quicker start on two cores. Raise the heap by KAFKA_HEAP.
JOPTS=(-Xms64m -Xmx${KAFKA_HEAP:-512m} -XX:+UseSerialGC ${KAFKA_JVM:--XX:TieredStopAtLevel=1} -Xshare:auto -Djava.awt.headless=true)

free_port() { python3 -c 'import socket;s=socket.socket();s.bind(("127.0.0.1",0));print(s.getsockname()[1])'; }
now() { date +%s%N; }

# Its certificate is its own authority.
certify() { # dir
  keytool -genkeypair -alias broker -keyalg RSA -keysize 2048 -validity 3650 -dname CN=localhost \
    -ext san=dns:localhost,ip:127.0.0.1 -ext bc:c=ca:true \
    -storetype PKCS12 -keystore "$1/broker.p12" -storepass keystore 2>"$1/keytool.log"
  keytool -exportcert -rfc -alias broker -keystore "$1/broker.p12" -storepass keystore >"$1/ca.pem" 2>>"$1/keytool.log"
}

write_conf() { # dir port controller_port secure_port
  certify "$1"
  cat >"$1/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$3
listeners=BROKER://127.0.0.1:$2,SECURE://127.0.0.1:$4,CONTROLLER://127.0.0.1:$3
advertised.listeners=BROKER://127.0.0.1:$2,SECURE://127.0.0.1:$4
listener.security.protocol.map=BROKER:PLAINTEXT,SECURE:SASL_SSL,IAM:SASL_SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.ssl.keystore.type=PKCS12
listener.name.secure.ssl.keystore.location=$1/broker.p12
listener.name.secure.ssl.keystore.password=keystore
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs=$1/log
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
# short sessions are allowed so that tests of a lost member are quick
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.session.timeout.ms=10000
group.consumer.heartbeat.interval.ms=1000
# after kill -9 the broker may register again only when its old session is over (default 9000)
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# small things for a small machine
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=4194304
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.retention.check.interval.ms=300000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
P
  cat >"$1/log4j2.properties" <<'P'
status=ERROR
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.c.ref=c
logger.s.name=kafka.server.KafkaRaftServer
logger.s.level=INFO
P
}

# Sessions end with the token that they began with.
add_iam() { # dir port
  sed -i "s#^listeners=.*#&,IAM://127.0.0.1:$2#; s#^advertised.listeners=.*#&,IAM://127.0.0.1:$2#" "$1/server.properties"
  cat >>"$1/server.properties" <<P
listener.name.iam.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.iam.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.iam.oauthbearer.sasl.server.callback.handler.class=pinhost.test.MskIam
listener.name.iam.oauthbearer.connections.max.reauth.ms=3600000
listener.name.iam.ssl.keystore.type=PKCS12
listener.name.iam.ssl.keystore.location=$1/broker.p12
listener.name.iam.ssl.keystore.password=keystore
P
}

# Whoever connects here is told to come back by way of somebody else's port.
add_proxied() { # dir port advertised
  sed -i "s#^listeners=.*#&,PROXIED://127.0.0.1:$2#; s#^advertised.listeners=.*#&,PROXIED://127.0.0.1:$3#" "$1/server.properties"
}

# Built once for what it is built from.
build_iam() {
  local source digest; source=$(cd "$(dirname "$0")" && pwd)/iam/MskIam.java
  digest=$(sha256sum "$source" | cut -c1-16)
  IAM_JAR=$CACHE/iam-$digest.jar
  [ -e "$IAM_JAR" ] && return
  local w; w=$(mktemp -d "$CACHE/.iam.XXXXXX")
  javac --release 17 -cp "$CP" -d "$w/classes" "$source" >&2
  jar --create --file "$w/iam.jar" -C "$w/classes" .
  mv "$w/iam.jar" "$IAM_JAR"; rm -rf "$w"
}

launch() { # dir [jvm options...]; sets PID, waits until ready
  local d=$1; shift
  : >"$d/kafka.log"
  setsid java "${JOPTS[@]}" "$@" -Dlog4j2.configurationFile="$d/log4j2.properties" -cp "$CP" \
    kafka.Kafka "$d/server.properties" </dev/null >>"$d/kafka.log" 2>&1 &
  PID=$!; echo $PID >"$d/pid"
  for _ in $(seq 1 1200); do
    grep -q 'Kafka Server started' "$d/kafka.log" && return 0
    kill -0 $PID 2>/dev/null || { cat "$d/kafka.log" >&2; echo "kafka died" >&2; return 1; }
    sleep 0.05
  done
  echo "kafka not ready in 60 s" >&2; kill -9 $PID; return 1
}

format() { # dir
  java "${JOPTS[@]}" -Dlog4j2.configurationFile="$1/log4j2.properties" -cp "$CP" kafka.tools.StorageTool \
    format --standalone -t "${KAFKA_CLUSTER_ID:-4L6g3nShT-eMCtK--X86sw}" -c "$1/server.properties" --ignore-formatted \
    --add-scram 'SCRAM-SHA-512=[name=pins,password=pins-secret]' >"$1/format.log" 2>&1 \
    || { cat "$1/format.log" >&2; return 1; }
}

install() {
  local w; w=$(mktemp -d "$CACHE/.new.XXXXXX")
  cat >"$w/pom.xml" <<P
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>pinhost.test</groupId><artifactId>kafka-dist</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$VERSION</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>
    <!-- Kafka logs by slf4j 1.7; this binds it to the log4j2 that it brings -->
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
  </dependencies>
</project>
P
  (cd "$w" && mvn -B -q ${MVN_ARGS:-} org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
     -DincludeScope=runtime -DoutputDirectory="$w/libs") >&2
  rm -rf "$CACHE/libs"; mv "$w/libs" "$CACHE/libs"; rm -rf "$w"
}

# class data archive: halves the JVM's start; only a speed-up, so its failure is not an error
archive() {
  local d; d=$(mktemp -d "$CACHE/.cds.XXXXXX")
  write_conf "$d" "$(free_port)" "$(free_port)" "$(free_port)"
  if format "$d" && launch "$d" -XX:ArchiveClassesAtExit="$CACHE/kafka.jsa" 2>/dev/null; then
    kill -TERM $PID; wait $PID 2>/dev/null || true
  fi
  rm -rf "$d"
}

exec 9>"$CACHE/.lock"; flock 9
[ -d "$CACHE/libs" ] || install
# a sorted list, not libs/*: the archive holds only for the same order
CP=$(printf '%s:' "$CACHE"/libs/*.jar)
# JDK version in the name, so that another JDK makes its own
[ -e "$CACHE/kafka.jsa" ] || archive 9>&-
if [ -n "${KAFKA_IAM:-}" ]; then build_iam; fi
flock -u 9; exec 9>&-
if [ -e "$CACHE/kafka.jsa" ]; then JOPTS+=(-XX:SharedArchiveFile="$CACHE/kafka.jsa"); fi

T0=$(now)
if [ ! -e "$DATA/server.properties" ]; then
  write_conf "$DATA" "${PORT:-$(free_port)}" "$(free_port)" "$(free_port)"
  if [ -n "${KAFKA_IAM:-}" ]; then add_iam "$DATA" "$(free_port)"; fi
  if [ -n "${KAFKA_PROXIED:-}" ]; then add_proxied "$DATA" $KAFKA_PROXIED; fi
fi
if [ -n "${KAFKA_IAM:-}" ]; then
  # Behind what the archive of classes was made with.
  CP=$CP$IAM_JAR
  JOPTS+=(-Dpinhost.iam.log="$DATA/iam.log")
fi
[ -e "$DATA/log/meta.properties" ] || format "$DATA"
launch "$DATA"
listener() { sed -n "s#^advertised.listeners=.*$1://\\(127.0.0.1:[0-9]*\\).*#\\1#p" "$DATA/server.properties"; }
echo "KAFKA_BOOTSTRAP=$(listener BROKER)"
echo "KAFKA_SECURE=$(listener SECURE)"
echo "KAFKA_IAM=$(listener IAM)"
echo "KAFKA_CA=$DATA/ca.pem"
echo "KAFKA_PID=$PID"
echo "KAFKA_DATA=$DATA"
echo "KAFKA_CP=$CP" >"$DATA/env"
echo "KAFKA_START_MS=$(( ($(now)-T0)/1000000 ))"
