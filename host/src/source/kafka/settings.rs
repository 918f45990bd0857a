//! What librdkafka is told, besides how to reach the cluster.

use rdkafka::ClientConfig;

use super::KafkaSourceConfig;
use crate::kafka::ClusterError;

/// What every client of the source has in common.
pub(super) fn common(
    config: &KafkaSourceConfig,
    pipeline: &str,
) -> Result<ClientConfig, ClusterError> {
    let mut settings = config.connection().settings(pipeline)?;
    settings.set("isolation.level", "read_committed");
    Ok(settings)
}

/// What the member of the group needs besides. `prefetch_bytes` is what may wait to be read, in all of the
/// partitions together.
pub(super) fn member(
    mut settings: ClientConfig,
    config: &KafkaSourceConfig,
    pipeline: &str,
    prefetch_bytes: u64,
    partitions: usize,
) -> ClientConfig {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    // librdkafka bounds each partition by itself, and once and for all. What it has asked for comes on top,
    // so that half of it is for that.
    let share = (prefetch_bytes / 2 / partitions.max(1) as u64).clamp(16 * KIB, 16 * MIB);
    settings
        .set("group.id", config.group(pipeline))
        .set("session.timeout.ms", config.session_timeout.0.as_millis().to_string())
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", (share / KIB).to_string())
        // Each that waits takes some hundred bytes besides its own.
        .set("queued.min.messages", (share / KIB).clamp(100, 100_000).to_string())
        .set("max.partition.fetch.bytes", share.min(MIB).to_string())
        .set("fetch.max.bytes", (prefetch_bytes / 2).clamp(MIB, 32 * MIB).to_string());
    // A full queue is looked at again soon: it may be empty by then.
    if !config.properties.contains_key("fetch.queue.backoff.ms") {
        settings.set("fetch.queue.backoff.ms", "20");
    }
    let heartbeat = (config.session_timeout.0 / 3).as_millis().clamp(1, 3000);
    if !config.properties.contains_key("heartbeat.interval.ms") {
        settings.set("heartbeat.interval.ms", heartbeat.to_string());
    }
    if let Some(instance) = &config.instance {
        settings.set("group.instance.id", instance);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> KafkaSourceConfig {
        serde_json::from_str(yaml).unwrap()
    }

    fn share(partitions: usize) -> u64 {
        let config = config(r#"{"brokers": "a:1", "topics": ["t"]}"#);
        let settings = common(&config, "p").unwrap();
        let settings = member(settings, &config, "p", 64 << 20, partitions);
        settings.get("queued.max.messages.kbytes").unwrap().parse::<u64>().unwrap() << 10
    }

    /// Invariant 8.
    #[test]
    fn what_waits_in_all_partitions_together_is_bounded() {
        for partitions in [1, 3, 100, 2000] {
            assert!(share(partitions) * partitions as u64 <= 32 << 20, "{partitions}");
        }
        assert_eq!(share(0), 16 << 20);
    }

    #[test]
    fn who_we_are_and_encryption_are_told_apart() {
        for (more, protocol) in [
            ("", "plaintext"),
            (r#", "tls": {}"#, "ssl"),
            (
                r#", "sasl": {"mechanism": "plain", "username": "a", "password": "b"}"#,
                "sasl_plaintext",
            ),
            (
                r#", "tls": {}, "sasl": {"mechanism": "scram-sha-256", "username": "a", "password": "b"}"#,
                "sasl_ssl",
            ),
            (r#", "sasl": {"mechanism": "msk-iam"}"#, "sasl_ssl"),
        ] {
            let config =
                config(&format!(r#"{{"brokers": ["a:1", "b:2"], "topics": ["t"]{more}}}"#));
            let settings = common(&config, "p").unwrap();
            assert_eq!(settings.get("security.protocol"), Some(protocol));
            assert_eq!(settings.get("bootstrap.servers"), Some("a:1,b:2"));
            let settings = member(settings, &config, "p", 1 << 20, 1);
            settings.create_native_config().unwrap();
            assert_eq!(settings.get("group.id"), Some("pinhost.p"));
        }
    }
}
