//! What can go wrong between us and Kinesis.

use std::error::Error;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use crate::record::ErrorClass;

#[derive(Debug, thiserror::Error)]
pub enum KinesisError {
    #[error("no region is set")]
    NoRegion,
    #[error("{endpoint} is asked without encryption")]
    PlainHttp { endpoint: String },
    #[error("no credentials are found: {reason}")]
    NoCredentials { reason: String },

    #[error("Kinesis does not answer: {reason}")]
    Unreachable { reason: String },
    #[error("Kinesis cannot {action} of stream {stream} at the moment: {reason}")]
    Failed { action: &'static str, stream: String, reason: String },
    #[error("Kinesis lets nobody {action} of stream {stream} so often: {code}")]
    Throttled { action: &'static str, stream: String, code: String },
    #[error("an iterator of stream {stream} has expired")]
    Expired { stream: String },

    #[error("there is no stream {stream}, or no such shard of it")]
    NotFound { stream: String },
    #[error("we may not {action} of stream {stream}: {reason}")]
    Denied { action: &'static str, stream: String, reason: String },
    #[error("the key that stream {stream} is encrypted with cannot be used ({code}): {reason}")]
    Key { stream: String, code: String, reason: String },
    #[error("Kinesis does not understand that we {action} of stream {stream}: {reason}")]
    Invalid { action: &'static str, stream: String, reason: String },
}

impl KinesisError {
    /// What an answer means, or none. `action` completes "we may not … of stream".
    pub fn of<E>(action: &'static str, stream: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let stream = stream.to_owned();
        let status = error.raw_response().map(|response| response.status().as_u16());
        let reason = match (error.message(), status) {
            (Some(message), _) if !message.is_empty() => message.to_owned(),
            (_, Some(status)) => format!("it answers {status}"),
            (_, None) => chain(error),
        };
        match (error.code(), status) {
            (
                Some(
                    code @ ("ProvisionedThroughputExceededException"
                    | "LimitExceededException"
                    | "KMSThrottlingException"
                    | "ThrottlingException"
                    | "Throttling"),
                ),
                _,
            ) => Self::Throttled { action, stream, code: code.to_owned() },
            (Some("ExpiredIteratorException"), _) => Self::Expired { stream },
            (Some("ResourceNotFoundException"), _) => Self::NotFound { stream },
            (Some("ResourceInUseException" | "ExpiredNextTokenException"), _) => {
                Self::Failed { action, stream, reason }
            }
            (Some(code), _) if code.starts_with("KMS") || code.starts_with("Kms") => {
                Self::Key { stream, code: code.to_owned(), reason }
            }
            (Some("InvalidArgumentException" | "ValidationException"), _) => {
                Self::Invalid { action, stream, reason }
            }
            (
                Some(
                    "AccessDeniedException"
                    | "UnrecognizedClientException"
                    | "InvalidSignatureException"
                    | "IncompleteSignatureException"
                    | "ExpiredTokenException"
                    | "InvalidClientTokenId"
                    | "MissingAuthenticationTokenException"
                    | "OptInRequired",
                ),
                _,
            ) => Self::Denied { action, stream, reason },
            (_, Some(403)) => Self::Denied { action, stream, reason },
            (_, Some(400..=499)) => Self::Invalid { action, stream, reason },
            (_, Some(_)) => Self::Failed { action, stream, reason },
            (_, None) if reason.contains("credentials") => Self::NoCredentials { reason },
            (_, None) => Self::Unreachable { reason },
        }
    }

    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. }
            | Self::Failed { .. }
            | Self::Throttled { .. }
            | Self::Expired { .. } => ErrorClass::Transient,
            Self::NoRegion
            | Self::PlainHttp { .. }
            | Self::NoCredentials { .. }
            | Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Key { .. }
            | Self::Invalid { .. } => ErrorClass::Systemic,
        }
    }

    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoRegion => "set `aws: { region: eu-west-1 }`, or AWS_REGION".to_owned(),
            Self::PlainHttp { .. } => {
                "write https://, or set `aws: { allow_http: true }` if that is all right".to_owned()
            }
            Self::NoCredentials { .. } => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, `aws: { profile: … }`, or give \
                 the machine a role"
                    .to_owned()
            }
            Self::Unreachable { .. } => {
                "see whether `aws:` names the right region and endpoint".to_owned()
            }
            Self::NotFound { stream } => {
                format!(
                    "make stream {stream}, or correct its name, `aws: {{ region: … }}` or the account"
                )
            }
            Self::Denied { .. } => {
                "`pinhost explain kinesis` has the policy that is needed".to_owned()
            }
            Self::Key { code, .. } => key_help(code).to_owned(),
            Self::Failed { .. }
            | Self::Throttled { .. }
            | Self::Expired { .. }
            | Self::Invalid { .. } => return None,
        })
    }
}

/// An error with what is behind it.
fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        let cause_told = cause.to_string();
        if !told.ends_with(&cause_told) {
            told = format!("{told}: {cause_told}");
        }
        behind = cause.source();
    }
    told
}

fn key_help(code: &str) -> &'static str {
    match code {
        "KMSAccessDeniedException" => {
            "allow kms:Decrypt (to write also kms:GenerateDataKey) on the stream's key, in the key's \
             policy and in ours"
        }
        "KMSDisabledException" => "enable the key in KMS: the lane goes on by itself then",
        "KMSInvalidStateException" => {
            "the key is about to be deleted, or not ready: cancel its deletion in KMS"
        }
        "KMSNotFoundException" => {
            "the key is gone: nothing that was encrypted with it can be read any more"
        }
        _ => "see the stream's key in KMS",
    }
}
