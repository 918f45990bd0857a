//! How a bucket is asked for.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a bucket is asked for; folders need none of it. Credentials are found as all tools of AWS find them:
/// environment, profiles, single sign-on, roles of containers and machines. What is left out is taken from
/// `AWS_ENDPOINT_URL_S3`, `AWS_REGION` and the profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// The server, like `https://storage.example.com`; left out, that of AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name the bucket in the path; otherwise in the name of the host.
    pub path_style: bool,
    /// Also without encryption. On this machine that needs no leave.
    pub allow_http: bool,
}

impl Default for S3Config {
    fn default() -> Self {
        Self { endpoint: None, region: None, path_style: true, allow_http: false }
    }
}

impl S3Config {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this server may be asked: encrypted, or on this machine, or with leave.
    pub fn allows(&self, endpoint: &str) -> bool {
        let Some(plain) = endpoint.strip_prefix("http://") else { return true };
        let authority = plain.split('/').next().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        is_here || self.allow_http
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_encryption_only_this_machine_is_asked_unless_told_so() {
        let config = S3Config::default();
        for here in
            ["http://localhost:9000", "http://127.0.0.1", "http://[::1]:9000/x", "https://a"]
        {
            assert!(config.allows(here), "{here}");
        }
        let told = S3Config { allow_http: true, ..S3Config::default() };
        for there in ["http://minio:9000", "http://127.example.com", "http://10.0.0.1/localhost"] {
            assert!(!config.allows(there) && told.allows(there), "{there}");
        }
    }
}
