//! Records that are posted over HTTP: a 2xx is a promise.

mod abuse;
mod emulators;
mod kafka;
mod life;
mod load;
mod requests;
mod secured;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pinhost_tests::http_client::HttpClient;
use pinhost_tests::pinhost;
use pinhost_tests::running::Running;
use pinhost_tests::table;
use tempfile::TempDir;

/// How long anything may take that has no limit of its own.
const TIME: Duration = Duration::from_secs(60);

const RULE: &str = "\
rule:
  fields:
    ind: { type: integer, required: true, aliases: [index] }
    title: text
    topic: { type: text, from: $topic }
    key: { type: text, from: $key }
";

/// A pipeline from requests into a table.
struct Door {
    folder: TempDir,
    running: Running,
    address: String,
}

impl Door {
    /// With more settings of the source.
    #[track_caller]
    fn open(settings: &str) -> Self {
        Self::into("sqlite: { path: d.db, table: t }", settings)
    }

    #[track_caller]
    fn into(sink: &str, settings: &str) -> Self {
        Self::with("", sink, settings)
    }

    /// With more in the pipeline.
    #[track_caller]
    fn with(more: &str, sink: &str, settings: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let source = format!("{{ listen: '127.0.0.1:0', {settings} }}");
        let yaml =
            format!("name: door\nsource: {{ http: {source} }}\n{RULE}sink: {{ {sink} }}\n{more}");
        fs::write(folder.path().join("p.yaml"), yaml).expect("a file");
        let running = Running::start(pinhost!(), folder.path(), &["p.yaml"]);
        let address = running.takes_requests_at();
        Self { folder, running, address }
    }

    #[track_caller]
    fn client(&self) -> HttpClient {
        HttpClient::connect(&self.address)
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("d.db")
    }

    #[track_caller]
    fn rows(&self, query: &str) -> Vec<String> {
        table::rows(&self.database(), query)
    }

    /// Changes the pipeline's file, which has that in one place.
    #[track_caller]
    fn change(&self, from: &str, to: &str) {
        let file = self.folder.path().join("p.yaml");
        let yaml = fs::read_to_string(&file).expect("UTF-8");
        assert_eq!(yaml.matches(from).count(), 1, "{from:?} in {yaml}");
        fs::write(file, yaml.replace(from, to)).expect("a file");
    }
}
