//! `http`, as one of the kinds of sources.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::{Schema, SchemaGenerator};

use super::check::check;
use super::{HttpSource, HttpSourceConfig};
use crate::connect::{
    ConfigFile, Ends, GroupShare, Positions, SourceConfig, SourceFacts, SourceKind, Spread,
    Surrounding, Surroundings,
};
use crate::record::{ConnectorError, ErrorClass};
use crate::source::{Source, SourceOptions};
use crate::written::{Cursor, Finding, ReadError, Written};

#[derive(Debug)]
pub struct Http;

impl SourceKind for Http {
    fn key(&self) -> &'static str {
        "http"
    }

    fn summary(&self) -> &'static str {
        "Requests of HTTP clients"
    }

    fn template(&self) -> &'static str {
        include_str!("template.yaml")
    }

    fn page(&self) -> &'static str {
        include_str!("page.md")
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<HttpSourceConfig>()
    }

    fn read(&self, written: Written<'_>) -> Result<Box<dyn SourceConfig>, ReadError> {
        Ok(Box::new(written.read::<HttpSourceConfig>()?))
    }
}

#[async_trait]
impl SourceConfig for HttpSourceConfig {
    fn facts(&self) -> SourceFacts {
        use Surrounding::{Key, Offset, Timestamp, Topic};
        SourceFacts {
            positions: Positions::ForOneRun {
                because: "a client that has no answer sends its request again",
            },
            surroundings: Surroundings {
                always: &[Key, Timestamp, Offset, Topic],
                in_archives: &[],
            },
            reopens: true,
            is_awaited: true,
            has_tombstones: true,
            ends: Ends::Never,
            spread: Spread::Nobody,
            group: Some(GroupShare {
                cluster: self.listen.clone(),
                group: self.listen.clone(),
                told: "at the same address",
                help: "nobody could tell whose requests to it are; give one of them another \
                       `listen:`, `base_path:` or `routes:`",
                shared: self.paths().map(|path| format!("requests to {path}")).collect(),
            }),
            unwrap: None,
            objects: None,
        }
    }

    fn check(&self, at: Cursor<'_>, found: &mut Vec<Finding>) {
        check(self, at, found);
    }

    fn complete(&mut self, file: &ConfigFile<'_>) {
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        self.token_file.iter_mut().chain(tls).for_each(|path| file.complete(path));
    }

    async fn open(&self, options: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        Ok(Arc::new(HttpSource::open(self, options).await?))
    }

    /// Whoever sends a request waits for what becomes of it.
    async fn open_aside(&self, _: &SourceOptions) -> Result<Arc<dyn Source>, ConnectorError> {
        let why = "requests are there when somebody makes them, not to be looked at before";
        let help = "`pinhost preview FILE --from SAMPLE` takes records from elsewhere";
        Err(ConnectorError::new(ErrorClass::Fatal, why).help(help))
    }
}

impl HttpSourceConfig {
    /// The routes with what they begin with.
    fn paths(&self) -> impl Iterator<Item = String> {
        let base = self.base_path.trim_matches('/');
        self.routes.iter().map(move |route| {
            let route = route.trim_matches('/');
            if base.is_empty() { format!("/{route}") } else { format!("/{base}/{route}") }
        })
    }
}
