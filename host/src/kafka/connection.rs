//! What librdkafka is told to reach a cluster.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use rdkafka::ClientConfig;
use tokio::runtime::Handle;

use super::client::Tokens;
use super::{Brokers, ClusterError, KafkaMechanism, KafkaSaslConfig, KafkaTlsConfig};

/// What was written of it, in the configuration of a source or a sink.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    pub brokers: &'a Brokers,
    pub tls: Option<&'a KafkaTlsConfig>,
    pub sasl: Option<&'a KafkaSaslConfig>,
    /// More settings for librdkafka.
    pub properties: &'a BTreeMap<String, String>,
}

impl Connection<'_> {
    /// What every client of the pipeline has in common.
    pub(crate) fn settings(&self, pipeline: &str) -> Result<ClientConfig, ClusterError> {
        let mut settings = ClientConfig::new();
        settings.set("client.id", format!("pinhost-{pipeline}"));
        for (name, value) in self.properties {
            settings.set(name, value);
        }
        settings
            .set("bootstrap.servers", self.brokers.to_string())
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false");
        let mechanism = self.sasl.map(|sasl| sasl.mechanism);
        let has_tls = self.tls.is_some() || mechanism == Some(KafkaMechanism::MskIam);
        settings.set(
            "security.protocol",
            match (has_tls, mechanism) {
                (false, None) => "plaintext",
                (true, None) => "ssl",
                (false, Some(_)) => "sasl_plaintext",
                (true, Some(_)) => "sasl_ssl",
            },
        );
        if let Some(sasl) = self.sasl {
            settings.set("sasl.mechanism", sasl.mechanism.name());
            if let (Some(username), Some(password)) = (&sasl.username, &sasl.password) {
                settings.set("sasl.username", username).set("sasl.password", password);
            }
        }
        if has_tls {
            let tls = self.tls.cloned().unwrap_or_default();
            // Where systems keep the certificates that they trust is not the same everywhere.
            settings.set("ssl.ca.location", tls.ca.as_deref().unwrap_or("probe"));
            let check = if tls.verify_hostname { "https" } else { "none" };
            settings.set("ssl.endpoint.identification.algorithm", check);
            for (name, value) in [
                ("ssl.certificate.location", &tls.certificate),
                ("ssl.key.location", &tls.key),
                ("ssl.key.password", &tls.key_password),
            ] {
                if let Some(value) = value {
                    settings.set(name, value);
                }
            }
            // librdkafka would say of a missing file what OpenSSL says of it.
            for path in [&tls.ca, &tls.certificate, &tls.key].into_iter().flatten() {
                let path = Path::new(path);
                File::open(path)
                    .map_err(|cause| ClusterError::File { path: path.to_owned(), cause })?;
            }
        }
        Ok(settings)
    }

    /// None if no tokens are asked for.
    pub(crate) fn tokens(&self) -> Option<Tokens> {
        let sasl = self.sasl?;
        let is_asked_for = sasl.mechanism == KafkaMechanism::MskIam;
        is_asked_for.then(|| Tokens { region: sasl.region.clone(), runtime: Handle::current() })
    }
}
