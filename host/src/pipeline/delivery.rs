//! Which promise is in force for a pipeline, and why.

use std::borrow::Cow;
use std::fmt;

use super::Pipeline;
use crate::connect::{Commits, Positions, SinkFacts, SourceFacts};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// `exactly once, because …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub guarantee: Guarantee,
    pub because: Cow<'static, str>,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guarantee = match self.guarantee {
            Guarantee::ExactlyOnce => "exactly once",
            Guarantee::AtLeastOnce => "at least once",
        };
        write!(f, "{guarantee}, because {}", self.because)
    }
}

impl Pipeline {
    pub fn delivery(&self) -> Delivery {
        delivery(&self.source.facts(), &self.sink.facts())
    }
}

fn delivery(source: &SourceFacts, sink: &SinkFacts) -> Delivery {
    let at_least_once = |because| Delivery { guarantee: Guarantee::AtLeastOnce, because };
    if let Positions::ForOneRun { because } = sink.positions {
        return at_least_once(format!("{because}: each run starts anew").into());
    }
    if let Positions::ForOneRun { because } = source.positions {
        return at_least_once(Cow::Owned(match sink.upsert {
            Some(_) => format!("{because}; a row given again takes its own place by its key"),
            None => format!("{because}: what is given again is stored again"),
        }));
    }
    match sink.commits {
        Commits::Apart { because } => at_least_once(because.into()),
        Commits::Together { because } => {
            Delivery { guarantee: Guarantee::ExactlyOnce, because: because.into() }
        }
    }
}
