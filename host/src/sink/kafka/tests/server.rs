//! A real broker, started by the tests and ended with them; and what somebody sees who knows nothing of pinhost.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TIME: Duration = Duration::from_secs(20);

/// Of the tests of this process.
pub(super) static SHARED: LazyLock<Server> = LazyLock::new(Server::start);

#[derive(Debug)]
pub(super) struct Server {
    pub(super) brokers: String,
}

/// A message as a reader of committed messages sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) partition: i32,
    pub(super) key: Option<String>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) millis: Option<i64>,
    pub(super) headers: BTreeMap<String, String>,
}

impl Server {
    fn start() -> Self {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let test = std::env::current_exe().unwrap();
        let output = Command::new("bash")
            .arg(host.join("../tests/services/start-kafka.sh"))
            .arg(test.ancestors().nth(3).unwrap().join("services"))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "no server: see above");
        let said = String::from_utf8(output.stdout).unwrap();
        let said: BTreeMap<_, _> = said.lines().filter_map(|line| line.split_once('=')).collect();
        // A test's statics are never dropped, and a test may be killed.
        let watch = format!(
            "while kill -0 {}; do sleep 0.2; done; kill -9 {}; sleep 1; rm -rf '{}'",
            process::id(),
            said["KAFKA_PID"],
            said["KAFKA_DATA"],
        );
        let mut leash = Command::new("setsid");
        leash.args(["--fork", "sh", "-c", &watch]).stdin(Stdio::null());
        leash.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        Self { brokers: said["KAFKA_BOOTSTRAP"].to_owned() }
    }

    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// Makes a topic, unless it is there.
    pub(super) async fn make(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let admin = self.admin();
        admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
        // What is made is not known everywhere at once, and neither is what was deleted.
        for _ in 0..500 {
            let known = admin.inner().fetch_metadata(Some(topic), TIME).unwrap();
            if known.topics()[0].partitions().len() == partitions as usize {
                return;
            }
            admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("topic {topic} cannot be made");
    }

    pub(super) async fn delete(&self, topic: &str) {
        let gone = self.admin().delete_topics(&[topic], &AdminOptions::new()).await;
        gone.unwrap()[0].as_ref().unwrap();
    }

    /// Where the first partition ends, whatever transactions are open.
    pub(super) async fn end(&self, topic: &str) -> i64 {
        let (mut client, topic) = (self.client(), topic.to_owned());
        client.set("isolation.level", "read_uncommitted");
        let ends = tokio::task::spawn_blocking(move || {
            let reader: BaseConsumer = client.create().unwrap();
            reader.fetch_watermarks(&topic, 0, TIME).unwrap()
        });
        ends.await.unwrap().1
    }

    /// All that is committed in a topic, by partition and in order. Waits until no transaction is open.
    pub(super) async fn read(&self, topic: &str) -> Vec<Seen> {
        let (brokers, topic) = (self.brokers.clone(), topic.to_owned());
        tokio::task::spawn_blocking(move || Self { brokers }.read_now(&topic)).await.unwrap()
    }

    fn read_now(&self, topic: &str) -> Vec<Seen> {
        let reader = |isolation: &str| -> BaseConsumer {
            let mut client = self.client();
            client
                .set("group.id", format!("reader-{:016x}", fastrand::u64(..)))
                .set("enable.auto.commit", "false")
                .set("enable.partition.eof", "true")
                .set("isolation.level", isolation);
            client.create().unwrap()
        };
        let (committed, all) = (reader("read_committed"), reader("read_uncommitted"));
        let known = all.fetch_metadata(Some(topic), TIME).unwrap();
        let partitions = known.topics()[0].partitions().len() as i32;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            while committed.fetch_watermarks(topic, partition, TIME).unwrap().1
                != all.fetch_watermarks(topic, partition, TIME).unwrap().1
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        committed.assign(&list).unwrap();
        let (mut seen, mut left) = (Vec::new(), partitions);
        while left > 0 {
            let message = match committed.poll(TIME).expect("an answer in time") {
                Ok(message) => message,
                Err(KafkaError::PartitionEOF(_)) => {
                    left -= 1;
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let told = |headers: &BorrowedHeaders| {
                let header = |header: Header<'_, &[u8]>| {
                    (header.key.to_owned(), header.value.map_or_else(String::new, text))
                };
                headers.iter().map(header).collect()
            };
            seen.push(Seen {
                partition: message.partition(),
                key: message.key().map(text),
                value: message.payload().map(<[u8]>::to_vec),
                millis: message.timestamp().to_millis(),
                headers: message.headers().map(told).unwrap_or_default(),
            });
        }
        seen.sort_by_key(|message| message.partition);
        seen
    }
}
