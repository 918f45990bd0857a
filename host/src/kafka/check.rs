//! What can be wrong with a connection by itself.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::{Connection, KafkaMechanism, KafkaSaslConfig, KafkaTlsConfig};
use crate::written::{Cursor, Finding, secrets};

const TLS: &str = "say it by `tls:`";
const SASL: &str = "say it by `sasl:`";

/// What has a key of its own, or is what safety rests on, and why it cannot be set as a property.
const FIXED: &[(&str, &str)] = &[
    ("bootstrap.servers", "say it by `brokers:`"),
    ("enable.sasl.oauthbearer.unsecure.jwt", SASL),
    ("enable.ssl.certificate.verification", "who answers is who was called"),
    ("metadata.broker.list", "say it by `brokers:`"),
    ("plugin.library.paths", "no other libraries are loaded"),
    ("sasl.mechanism", SASL),
    ("sasl.mechanisms", SASL),
    ("sasl.password", SASL),
    ("sasl.username", SASL),
    ("security.protocol", "say it by `tls:` and `sasl:`"),
    ("ssl.ca.location", TLS),
    ("ssl.certificate.location", TLS),
    ("ssl.endpoint.identification.algorithm", TLS),
    ("ssl.key.location", TLS),
    ("ssl.key.password", TLS),
];

/// Properties that hold no secret, of those that are any text. Where librdkafka wants a number or a
/// word of its own, it holds none either.
const HARMLESS: &[&str] = &[
    "bootstrap.servers",
    "client.id",
    "client.rack",
    "debug",
    "group.id",
    "group.instance.id",
    "group.protocol.type",
    "group.remote.assignor",
    "https.ca.location",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "plugin.library.paths",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.username",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.providers",
    "ssl.sigalgs.list",
    "topic.blacklist",
];

impl Connection<'_> {
    /// What must not be shown is concealed first. `fixed` are properties that cannot be set here, besides those
    /// that never can be, and why.
    pub(crate) fn check(&self, fixed: &[(&str, &str)], at: Cursor<'_>, found: &mut Vec<Finding>) {
        self.secrets().for_each(secrets::conceal);
        if self.brokers.iter().any(str::is_empty) || self.brokers.iter().next().is_none() {
            let told = at.key("brokers").finding("here should be a broker");
            found.push(told.help("a host and its port, like localhost:9092"));
        }
        if let Some(tls) = self.tls {
            self::tls(tls, at.key("tls"), found);
        }
        if let Some(sasl) = self.sasl {
            self::sasl(sasl, self.tls.is_some(), at.key("sasl"), found);
        }
        self.properties(fixed, at.key("properties"), found);
    }

    /// What must not be shown, whether or not it came out of a variable.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let password = self.sasl.iter().filter_map(|sasl| sasl.password.as_deref());
        let key = self.tls.iter().filter_map(|tls| tls.key_password.as_deref());
        let properties = self.properties.iter().filter(|(name, _)| may_hold_a_secret(name));
        password.chain(key).chain(properties.map(|(_, value)| value.as_str()))
    }

    fn properties(&self, fixed: &[(&str, &str)], at: Cursor<'_>, found: &mut Vec<Finding>) {
        for (name, value) in self.properties {
            let at = at.key(name);
            let fixed = FIXED.iter().chain(fixed).find(|(fixed, _)| fixed == name);
            if let Some((_, why)) = fixed {
                found.push(at.finding(format!("`{name}` cannot be set here")).help(*why));
                continue;
            }
            match refused(name, value) {
                Some(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                    let told = Finding::new(format!("librdkafka has no property `{name}`"));
                    let help = "see CONFIGURATION.md of librdkafka for those that it has";
                    found.push(told.at(at.key_place()).help(help));
                }
                Some(KafkaError::ClientConfig(_, why, ..)) => found.push(at.finding(why)),
                _ => {}
            }
        }
    }
}

/// Whether any text may stand there. A name that is not known may be a misspelt one.
fn may_hold_a_secret(name: &str) -> bool {
    let takes = |text: &str| match refused(name, text) {
        Some(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) | None => true,
        Some(_) => false,
    };
    // librdkafka also refuses text for a property that it was built without.
    let is_named_so = ["secret", "password"].iter().any(|word| name.contains(word));
    // The names of what librdkafka calls from within are no properties: it takes no text for them.
    is_named_so || (!HARMLESS.contains(&name) && takes("any text"))
}

/// librdkafka knows its own settings.
fn refused(name: &str, value: &str) -> Option<KafkaError> {
    ClientConfig::new().set(name, value).create_native_config().err()
}

/// A name that no topic can have.
pub(crate) fn check_topic(topic: &str, at: Cursor<'_>, found: &mut Vec<Finding>) {
    const BYTES_MAX: usize = 249;
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if topic.is_empty() || topic.len() > BYTES_MAX || !topic.bytes().all(is_legal) {
        let told = at.finding(format!("`{topic}` cannot be a topic"));
        found.push(told.help("letters, digits, `.`, `_` and `-`, 249 at most; no patterns"));
    }
}

fn tls(tls: &KafkaTlsConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if tls.certificate.is_some() != tls.key.is_some() {
        let (key, lacks) =
            if tls.key.is_some() { ("key", "certificate") } else { ("certificate", "key") };
        found.push(at.key(key).finding(format!("this is of no use without `{lacks}:`")));
    }
    if tls.key_password.is_some() && tls.key.is_none() {
        found.push(at.key("key_password").finding("this is of no use without `key:`"));
    }
}

fn sasl(sasl: &KafkaSaslConfig, has_tls: bool, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let given = [
        ("username", sasl.username.as_deref()),
        ("password", sasl.password.as_deref()),
        ("region", sasl.region.as_deref()),
    ];
    let is_iam = sasl.mechanism == KafkaMechanism::MskIam;
    for (key, value) in given {
        match value {
            Some(_) if is_iam != (key == "region") => {
                found.push(at.key(key).finding(format!("this mechanism takes no `{key}`")));
            }
            Some("") => found.push(at.key(key).finding("here should be something")),
            None if !is_iam && key != "region" => {
                found.push(at.key("mechanism").finding(format!("this mechanism wants a `{key}`")));
            }
            _ => {}
        }
    }
    if sasl.mechanism == KafkaMechanism::Plain && !has_tls {
        let told = at.key("mechanism").finding("the password is sent as it is, for all to read");
        found.push(told.help("encrypt connections by `tls: {}`").warning());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 10.
    #[test]
    fn a_property_may_hold_a_secret_unless_it_is_known_to_be_harmless() {
        for name in [
            "ssl.key.pem",
            "ssl.certificate.pem",
            "ssl.key.password",
            "sasl.password",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.kerberos.kinit.cmd",
            "ssl.kye.pem",
        ] {
            assert!(may_hold_a_secret(name), "{name}");
        }
        for name in [
            "fetch.min.bytes",
            "auto.offset.reset",
            "enable.auto.commit",
            "broker.address.family",
            "client.id",
            "ssl.ca.location",
        ] {
            assert!(!may_hold_a_secret(name), "{name}");
        }
    }
}
