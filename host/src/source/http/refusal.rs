//! Why a request is refused, in words; how that looks depends on whom the client believes to talk to.

/// Why a request is not taken, or why nobody can say that it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{what}")]
    NotFound { what: String },
    #[error("{path} takes {allowed} only")]
    Method { path: String, allowed: &'static str },
    #[error("a token is needed: `Authorization: Bearer TOKEN`")]
    Unauthorized,
    /// A browser says so of what a page of somebody else's sends.
    #[error("pages of other sites send nothing here, unless they have a token")]
    Foreign,
    #[error("{what}")]
    TooLarge { what: String },
    #[error("{what}")]
    MediaType { what: String },
    #[error("bodies may be packed by gzip, and by nothing else")]
    Encoding,
    #[error("the body cannot be read: {why}")]
    Unreadable { why: String },
    #[error("the body is not valid JSON: {why} at byte {offset}")]
    NotJson { why: String, offset: usize },
    /// It is JSON, but not what the route takes.
    #[error("{what}")]
    Invalid { what: String },
    /// There is not a single record.
    #[error("{what}")]
    Empty { what: String },
    #[error("the body did not arrive in time")]
    Slow,
    #[error("a request with this Idempotency-Key is being answered")]
    InFlight,
    #[error("this Idempotency-Key came with another request before")]
    OtherRequest,
    #[error("more requests wait than there is memory for; come again")]
    Busy,
    #[error("it was not stored in time, and was withdrawn; come again")]
    Withdrawn,
    #[error("it was not stored in time, but still may be; come again")]
    Unknown,
    #[error("no more requests are taken here; come again")]
    Closed,
}

impl Refusal {
    pub fn status(&self) -> u16 {
        match self {
            Self::Unreadable { .. }
            | Self::NotJson { .. }
            | Self::Invalid { .. }
            | Self::Empty { .. } => 400,
            Self::Unauthorized => 401,
            Self::Foreign => 403,
            Self::NotFound { .. } => 404,
            Self::Method { .. } => 405,
            Self::Slow => 408,
            Self::InFlight => 409,
            Self::TooLarge { .. } => 413,
            Self::MediaType { .. } | Self::Encoding => 415,
            Self::OtherRequest => 422,
            Self::Busy => 429,
            Self::Withdrawn | Self::Unknown | Self::Closed => 503,
        }
    }

    /// As Kafka's REST proxy has it: what it cannot make records of is no fault of the grammar.
    pub fn kafka_status(&self) -> u16 {
        match self {
            Self::Invalid { .. } | Self::Empty { .. } => 422,
            other => other.status(),
        }
    }

    /// As Kafka's REST proxy tells its faults apart.
    pub fn kafka_code(&self) -> u16 {
        match self {
            Self::Unauthorized => 40101,
            Self::Foreign => 40301,
            Self::NotFound { .. } => 40401,
            Self::Empty { .. } => 42201,
            Self::Invalid { .. } | Self::OtherRequest => 42206,
            Self::Busy => 42901,
            Self::Withdrawn | Self::Unknown => 50003,
            Self::Closed => 50302,
            other => other.status(),
        }
    }

    /// As Kinesis names its faults.
    pub fn kinesis_type(&self) -> &'static str {
        match self.status() {
            401 => "UnrecognizedClientException",
            403 => "AccessDeniedException",
            404 => "ResourceNotFoundException",
            429 => "ProvisionedThroughputExceededException",
            503 => "InternalFailure",
            _ => "ValidationException",
        }
    }

    /// Whether the same request may be taken later.
    pub fn is_passing(&self) -> bool {
        matches!(self.status(), 409 | 429 | 503)
    }
}
