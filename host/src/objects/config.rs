//! What may be written of folders and buckets, and what can be wrong with it.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::written::{Cursor, Duration, Finding};

/// Objects that are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSet {
    /// A folder, a file, or `s3://bucket/prefix`.
    pub url: String,
    pub s3: S3Config,
    /// The archive that they are a part of, if that begins above the URL.
    pub archive: Option<String>,
    /// Only those whose key below the URL matches.
    pub matching: Option<String>,
    pub compression: Compression,
    /// How long a local file has to rest before it is read.
    pub settle: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    #[default]
    Auto,
    None,
    Gzip,
    Zstd,
}

/// How a bucket is asked for; folders need none of it. Credentials are found as all tools of AWS
/// find them: environment, profiles, single sign-on, roles of containers and machines. What is left
/// out is taken from `AWS_ENDPOINT_URL_S3`, `AWS_REGION` and the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What is wrong with the URL of a folder or a bucket.
pub(crate) fn check_url(url: &str, at: Cursor<'_>, found: &mut Vec<Finding>) {
    const HELP: &str = "a folder, like ./posts/, or s3://bucket/prefix";
    let finding = match url.split_once("://") {
        _ if url.is_empty() => at.finding("here should be a folder"),
        Some(("s3", rest)) if rest.split('/').next().is_some_and(|bucket| !bucket.is_empty()) => {
            return;
        }
        Some(("s3", _)) => at.finding("this has no bucket"),
        Some((scheme, _)) => at.finding(format!("`{scheme}://` is not understood here")),
        None => return,
    };
    found.push(finding.help(HELP));
}

/// What is wrong with how a bucket is asked for.
pub(crate) fn check_s3(s3: &S3Config, at: Cursor<'_>, found: &mut Vec<Finding>) {
    let Some(endpoint) = &s3.endpoint else { return };
    let at = at.key("endpoint");
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        found.push(
            at.finding("this is no endpoint").help("a URL, like https://storage.example.com"),
        );
    } else if !s3.allows(endpoint) {
        let told = at.finding("without encryption anybody on the way could read along");
        found.push(told.help("write https://, or set `allow_http: true` if that is all right"));
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
