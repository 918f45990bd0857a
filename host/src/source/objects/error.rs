//! What goes wrong with objects that are read, and what to do about it.

use std::fmt;
use std::io;
use std::sync::Arc;

use object_store::Error as StoreError;

use crate::objects::{ObjectRootError, Said, class_of_io, class_of_store, help_of_store};
use crate::record::lift::Move;
use crate::record::{ConnectorError, ErrorClass, Position};

#[derive(Debug, thiserror::Error)]
pub enum ObjectsSourceError {
    #[error(transparent)]
    Root(#[from] ObjectRootError),
    #[error("`{pattern}` in `match` is no pattern")]
    Match {
        pattern: String,
        #[source]
        cause: glob::PatternError,
    },
    #[error("there is no `{path}`")]
    Missing { path: String },
    #[error("{url} lies where pinhost keeps what is its own")]
    Own { url: String },
    #[error("{url} is not in {archive}")]
    Elsewhere { url: String, archive: String },
    #[error("cannot list the objects of {url}: {}", Said(cause))]
    List { url: String, cause: StoreError },
    #[error("cannot read {object}: {}", said(cause))]
    Read { object: String, cause: io::Error },
    #[error("{object} is damaged")]
    Damaged {
        object: String,
        lift: Lift,
        #[source]
        cause: io::Error,
    },
    #[error("{object} is {form}, which is not read")]
    Form { object: String, form: &'static str, lift: Lift },
    #[error("{object} was planned to be read, and is gone")]
    Vanished { object: String, lift: Lift },
    #[error("{object} is another one than when it was planned to be read")]
    Changed { object: String, lift: Lift },
    #[error("the objects of {url} do not tell where their records were read first")]
    NoPlaces { url: String },
    #[error("plan {plan} of the lane's journal cannot be read")]
    Plan {
        plan: u64,
        #[source]
        cause: serde_json::Error,
    },
    #[error("plan {plan} of the lane's journal was written by a newer pinhost")]
    NewerPlan { plan: u64 },
    #[error("the lane stands at {from}, which is in none of its plans")]
    NoPlan { from: Position },
}

impl ObjectsSourceError {
    /// What the runtime does about it: design.md, section 5.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Root(error) => error.class(),
            Self::List { cause, .. } => class_of_store(cause),
            Self::Read { cause, .. } => match of_store(cause) {
                Some(cause) => class_of_store(cause),
                None => class_of_io(cause),
            },
            Self::Match { .. }
            | Self::Missing { .. }
            | Self::Own { .. }
            | Self::Elsewhere { .. }
            | Self::NoPlaces { .. }
            | Self::Damaged { .. }
            | Self::Form { .. }
            | Self::Vanished { .. }
            | Self::Changed { .. }
            | Self::Plan { .. }
            | Self::NewerPlan { .. } => ErrorClass::Systemic,
            Self::NoPlan { .. } => ErrorClass::Fatal,
        }
    }

    fn help(&self) -> Option<String> {
        let told = match self {
            Self::Root(error) => error.help()?,
            Self::Match { .. } => "patterns are written like `**/*.json`",
            Self::Missing { .. } => "make the folder, or name another one in `source.objects.url`",
            Self::Own { .. } => "name another folder in `source.objects.url`",
            Self::Elsewhere { .. } => "`archive:` is a folder that `url:` lies in",
            Self::Vanished { lift: Lift::Replay, .. }
            | Self::Changed { lift: Lift::Replay, .. }
            | Self::Damaged { lift: Lift::Replay, .. } => {
                return Some(format!(
                    "restore it as it was; to go on without it: {}",
                    Lift::Replay
                ));
            }
            Self::Form { lift, .. } => {
                return Some(format!(
                    "have JSON written, as Kafka Connect does with `JsonFormat` in `format.class`, \
                     `keys.format.class` and `headers.format.class`; objects that `match` leaves out are \
                     not looked at; to go on: {lift}"
                ));
            }
            Self::Damaged { lift, .. } => {
                return Some(format!(
                    "with `changed: reread` a sound one in its place is read later; to go on: {lift}"
                ));
            }
            Self::Vanished { lift, .. } => {
                return Some(format!("restore it as it was; to go on without it: {lift}"));
            }
            Self::Changed { lift, .. } => {
                return Some(format!(
                    "with `changed: reread` it is read later, as a new object; to go on: {lift}"
                ));
            }
            Self::NoPlaces { .. } => {
                "an archive that pinhost has written does: leave `--cleaned-by` out, or name one"
            }
            Self::Plan { .. } => "restore the sink's journal from a backup",
            Self::NewerPlan { .. } => "use the newer pinhost",
            Self::NoPlan { .. } => "move the lane to where it really stands: `pinhost lanes move`",
            Self::List { cause, .. } => help_of_store(cause)?,
            Self::Read { cause, .. } => help_of_store(of_store(cause)?)?,
        };
        Some(told.to_owned())
    }
}

/// Readers repeat what ended them.
impl From<Arc<ObjectsSourceError>> for ConnectorError {
    fn from(error: Arc<ObjectsSourceError>) -> Self {
        let help = error.help();
        let told = Self::new(error.class(), error);
        match help {
            Some(help) => told.help(help),
            None => told,
        }
    }
}

impl From<ObjectsSourceError> for ConnectorError {
    fn from(error: ObjectsSourceError) -> Self {
        Arc::new(error).into()
    }
}

/// The store's own error, if it was one that ended a read.
pub(super) fn of_store(error: &io::Error) -> Option<&StoreError> {
    error.get_ref()?.downcast_ref()
}

fn said(cause: &io::Error) -> String {
    of_store(cause).map_or_else(|| cause.to_string(), |cause| Said(cause).to_string())
}

/// What has a lane go on behind an object.
#[derive(Debug, Clone)]
pub enum Lift {
    Move(Move),
    /// What there is now is another plan.
    Replay,
}

impl fmt::Display for Lift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Move(to) => to.fmt(f),
            Self::Replay => f.write_str("the same `pinhost replay` plans anew, with what there is"),
        }
    }
}
