//! What may be written below `http:`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::written::{Duration, Size};

/// Requests of HTTP clients. Each is answered once what it brought is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSourceConfig {
    /// Where clients connect, like `127.0.0.1:8080`. Pipelines of one process can share an address:
    /// their routes tell them apart.
    pub listen: String,
    /// What this pipeline takes: `/pin` is posted to as it is, `/topics/NAME` as to the REST proxy
    /// of Kafka, `/streams/NAME` as to Kinesis behind an API gateway. In the last part `*` stands
    /// for any text.
    #[serde(default = "all_routes")]
    #[schemars(length(min = 1))]
    pub routes: Vec<String>,
    /// What all paths begin with, like `/dev`, so that the URL of an API gateway stays as it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base_path: String,
    /// What a client is told that posts to a route of its own name.
    #[serde(default)]
    pub reply: HttpReply,
    /// The status of a request whose record is a dead letter: 202, or 422 with the reason.
    #[serde(default = "accepted")]
    #[schemars(extend("enum" = [202, 422]))]
    pub reject: u16,
    /// How long a request may wait until it is committed. After that the client is asked to come
    /// again.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// A file with the token that clients send as `Authorization: Bearer TOKEN`. It is read again
    /// when it changes. Several lines are several tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// Left out, connections are not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<HttpTlsConfig>,
    /// What the body of a request may have, unpacked.
    #[serde(default = "body")]
    pub body: Size,
    /// How many connections are open at a time, of all pipelines that share the address.
    #[serde(default = "connections")]
    #[schemars(range(min = 1))]
    pub connections: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpReply {
    /// What was posted, as a handler of FastAPI returns its item.
    Echo,
    /// `{"accepted": 1}`
    #[default]
    Accepted,
}

/// Files in PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpTlsConfig {
    /// The certificate of this server, followed by those that vouch for it.
    pub certificate: String,
    pub key: String,
}

fn all_routes() -> Vec<String> {
    ["/*", "/topics/*", "/streams/*"].map(str::to_owned).into()
}

fn accepted() -> u16 {
    202
}

fn timeout() -> Duration {
    Duration::secs(10)
}

fn body() -> Size {
    Size::mib(1)
}

fn connections() -> u32 {
    1024
}
