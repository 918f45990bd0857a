//! What may be written of the service, and what can be wrong with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::S3Config;
use crate::written::{Cursor, Finding};

/// Whom to ask, and as whom. Credentials are found as all tools of AWS find them: environment,
/// profiles, single sign-on, roles of containers and machines. What is left out is taken from
/// `AWS_ENDPOINT_URL_KINESIS`, `AWS_REGION` and the profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Of the files below `~/.aws`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// A role to take on, like `arn:aws:iam::123456789012:role/pins`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The server, like `https://kinesis.example.com`; left out, that of AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Also without encryption. On this machine that needs no leave.
    pub allow_http: bool,
}

impl AwsConfig {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this server may be asked: encrypted, or on this machine, or with leave.
    pub fn allows(&self, endpoint: &str) -> bool {
        S3Config { allow_http: self.allow_http, ..S3Config::default() }.allows(endpoint)
    }
}

/// What is wrong with how the service is asked.
pub fn check_aws(aws: &AwsConfig, at: Cursor<'_>, found: &mut Vec<Finding>) {
    if let Some(role) = &aws.role
        && !(role.starts_with("arn:") && role.contains(":role/"))
    {
        let told = at.key("role").finding("this is no role");
        found.push(told.help("its ARN, like arn:aws:iam::123456789012:role/pins"));
    }
    let Some(endpoint) = &aws.endpoint else { return };
    let at = at.key("endpoint");
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        let told = at.finding("this is no endpoint");
        found.push(told.help("a URL, like https://kinesis.example.com"));
    } else if !aws.allows(endpoint) {
        let told = at.finding("without encryption anybody on the way could read along");
        found.push(told.help("write https://, or set `allow_http: true` if that is all right"));
    }
}

/// What is wrong with the name of a stream.
pub fn check_stream(name: &str, at: Cursor<'_>, found: &mut Vec<Finding>) {
    const NAME_MAX: usize = 128;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() {
        found.push(at.finding("here should be a stream"));
    } else if name.len() > NAME_MAX || !name.bytes().all(is_plain) {
        let told = at.finding(format!("`{name}` cannot be a stream"));
        found.push(told.help("its name: letters, digits, `.`, `_` and `-`, 128 at most"));
    }
}
