//! Tests over real sockets: a provider that is scripted, a server that relays, a client that reads.

use tokio::sync::mpsc::UnboundedSender;

use crate::settle::Ending;
use crate::units::{Tokens, Usage};

/// What was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// `None` if the estimate was kept.
    usage: Option<Usage>,
    ending: Ending,
}

/// Stands for a request: tells how it was settled, also when it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    outcomes: Option<UnboundedSender<Outcome>>,
}

/// Tokens of the prompt of a watched request.
const INPUT: Tokens = Tokens::new(17);

impl Watch {
    pub(super) fn input(&self) -> Tokens {
        INPUT
    }

    pub(super) fn settle(mut self, usage: Option<Usage>, ending: Ending) {
        if let Some(outcomes) = self.outcomes.take() {
            outcomes.send(Outcome { usage, ending }).expect("the test waits for it");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(outcomes) = self.outcomes.take() {
            // A test that ended first does not care.
            outcomes.send(Outcome { usage: None, ending: Ending::Lost }).unwrap_or_default();
        }
    }
}
