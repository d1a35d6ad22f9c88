#!/usr/bin/env bash
# Starts one of the servers in the foreground; the caller kills it. Called by tests/it/support.
#
#   start.sh zookeeper  JARS DATA PORT
#   start.sh master     JARS DATA PORT ZOOKEEPER_PORT DERBY_PORT       coordinator and overlord in one process
#   start.sh worker     JARS DATA PORT ZOOKEEPER_PORT DERBY_PORT PEON  middle manager; PEON: first port of its tasks
#   start.sh kafka      JARS DATA PORT CONTROLLER_PORT
set -euo pipefail
what=$1 jars=$2 data=$3 port=$4
shift 4
mkdir -p "$data"
log="$data/log4j2.xml"
cat >"$log" <<'XML'
<Configuration status="WARN"><Appenders><Console name="Console" target="SYSTEM_OUT">
<PatternLayout pattern="%d{ISO8601} %p [%t] %c - %m%n"/></Console></Appenders>
<Loggers><Root level="warn"><AppenderRef ref="Console"/></Root></Loggers></Configuration>
XML

opens=()
for package in java.base/java.io java.base/java.lang java.base/java.lang.invoke java.base/java.math java.base/java.net \
  java.base/java.nio java.base/java.util java.base/jdk.internal.ref java.base/jdk.internal.misc java.base/sun.nio.ch \
  java.base/sun.nio.fs jdk.management/com.sun.management.internal; do
  opens+=(--add-opens "$package=ALL-UNNAMED")
done
opens+=(--add-exports java.base/jdk.internal.misc=ALL-UNNAMED --add-exports java.base/jdk.internal.ref=ALL-UNNAMED)

druid() {
  local service=$1 zookeeper=$2 derby=$3
  shift 3
  local common=(
    -Dlog4j.configurationFile="$log" -Duser.timezone=UTC -Dfile.encoding=UTF-8 -Djava.io.tmpdir="$data/tmp"
    -XX:+ExitOnOutOfMemoryError -XX:+UseSerialGC
    -Ddruid.host=127.0.0.1 -Ddruid.plaintextPort="$port"
    -Ddruid.zk.service.host="127.0.0.1:$zookeeper"
    -Dderby.stream.error.file="$data/derby.log" -Ddruid.metadata.storage.type=derby -Ddruid.metadata.storage.connector.host=127.0.0.1
    -Ddruid.metadata.storage.connector.port="$derby"
    "-Ddruid.metadata.storage.connector.connectURI=jdbc:derby://127.0.0.1:$derby/$data/../metadata.db;create=true"
    -Ddruid.extensions.searchCurrentClassloader=true -Ddruid.extensions.loadList=[]
    -Ddruid.emitter=noop -Ddruid.storage.type=local -Ddruid.storage.storageDirectory="$data/../segments"
    -Ddruid.indexer.logs.type=file -Ddruid.indexer.logs.directory="$data/../logs"
    -Ddruid.server.http.numThreads=20
  )
  mkdir -p "$data/tmp"
  exec java "${opens[@]}" "${common[@]}" "$@" -cp "$jars/*" org.apache.druid.cli.Main server "$service"
}

case "$what" in
  zookeeper)
    exec java -Xmx128m -Dzookeeper.admin.enableServer=false -Dlog4j.configurationFile="$log" -cp "$jars/*" \
      org.apache.zookeeper.server.ZooKeeperServerMain "$port" "$data/zookeeper"
    ;;
  master)
    druid coordinator "$1" "$2" -Xmx512m -XX:MaxDirectMemorySize=256m \
      -Ddruid.coordinator.asOverlord.enabled=true -Ddruid.coordinator.asOverlord.overlordService=druid/overlord \
      -Ddruid.service=druid/coordinator -Ddruid.coordinator.startDelay=PT5S -Ddruid.coordinator.period=PT5S \
      -Ddruid.indexer.runner.type=httpRemote -Ddruid.indexer.storage.type=metadata -Ddruid.indexer.queue.startDelay=PT1S
    ;;
  worker)
    druid middleManager "$1" "$2" -Xmx128m -Ddruid.service=druid/middleManager -Ddruid.worker.capacity=4 \
      -Ddruid.indexer.runner.startPort="$3" -Ddruid.indexer.task.baseTaskDir="$data/tasks" \
      '-Ddruid.indexer.runner.javaOptsArray=["-Xms64m","-Xmx256m","-XX:MaxDirectMemorySize=128m","-XX:+UseSerialGC","-Duser.timezone=UTC","-Dfile.encoding=UTF-8","--add-opens=java.base/java.lang=ALL-UNNAMED","--add-opens=java.base/java.io=ALL-UNNAMED","--add-opens=java.base/java.nio=ALL-UNNAMED","--add-opens=java.base/sun.nio.ch=ALL-UNNAMED","--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED","--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED","--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED","--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED","--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED"]' \
      -Ddruid.indexer.fork.property.druid.processing.numThreads=1 \
      -Ddruid.indexer.fork.property.druid.processing.numMergeBuffers=1 \
      -Ddruid.indexer.fork.property.druid.processing.buffer.sizeBytes=10000000
    ;;
  kafka)
    controller=$1
    cat >"$data/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$data/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.partitions=1
PROPERTIES
    if [ ! -e "$data/kafka/meta.properties" ]; then
      java -Xmx64m -cp "$jars/*" kafka.tools.StorageTool format --config "$data/server.properties" \
        --cluster-id 4L6g3nShT-eMCtK--X86sw >/dev/null
    fi
    exec java -Xmx256m -XX:+UseSerialGC -cp "$jars/*" kafka.Kafka "$data/server.properties"
    ;;
  *)
    echo "start.sh: no server $what" >&2
    exit 2
    ;;
esac
