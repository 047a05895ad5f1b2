"""What the embedded broker is told: one KRaft node, loopback only, small, with every replication factor at 1."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

HEAP = "512m"
JVM_OPTIONS = (
    f"-Xmx{HEAP}",
    "-Xms64m",
    # One small broker beside other processes: the serial collector and the first compiler start faster and stay smaller.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disable.jmx=true",
)


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """Content of server.properties."""
    lines = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": data,
        # A topic that nobody declared is a fault, not a wish.
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # The default, 10 s, would leave the records of a dead owner's transaction unread for as long again.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # A killed broker is taken back when its old session is over; the default, 9 s, would be most of the outage.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "background.threads": 2,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": 8 * 2**20,
        # Indexes are memory-mapped per segment and there are some hundred partitions.
        "log.index.size.max.bytes": 2**20,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def log_configuration(logs: Path) -> str:
    """Log4j configuration: broker.log, rolled at 10 MB, the last three kept."""
    current, rolled = quoteattr(str(logs / "broker.log")), quoteattr(str(logs / "broker.log.%i"))
    return f"""<Configuration status="error" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName={current} filePattern={rolled}>
      <PatternLayout pattern="%d{{ISO8601}} %p %c: %m%n"/>
      <SizeBasedTriggeringPolicy size="10MB"/>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="info"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""
