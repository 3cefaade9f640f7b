//! Settles requests whose answers do not tell what they used, by what was heard of them.

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::count::Method;
use crate::ledger::Booked;
use crate::relay::Metering;
use crate::relay::due::{Due, Settled};
use crate::relay::heard::{Heard, count_body};
use crate::settle::Ending;
use crate::units::{Receipt, Served, Tokens, Usage};

/// A request whose output must be counted because nobody told it.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) due: Due,
    pub(super) metering: Metering,
    pub(super) text: Text,
    /// What was reported before the output.
    pub(super) told: Option<Usage>,
    /// What is known of that already.
    pub(super) served: Served,
    pub(super) ending: Ending,
}

/// What is to be counted.
#[derive(Debug)]
pub(super) enum Text {
    None,
    Heard(Heard),
    Body(Bytes),
}

impl Count {
    /// Counts and settles where that may take its time: a vocabulary may have to be loaded.
    pub(super) fn settle_aside(self) -> Booked {
        match (&self.text, Handle::try_current()) {
            (Text::Heard(_) | Text::Body(_), Ok(runtime)) => {
                let (closed, booked) = Booked::later();
                // A runtime that stops drops it, and it is booked as lost.
                drop(runtime.spawn_blocking(|| {
                    // Whoever hung up does not wait.
                    let _told = closed.send(self.settle_or_defer());
                }));
                booked
            }
            _ => self.settle().1,
        }
    }

    /// Leaves the request open if what it asked for goes on with another one: a run that waits for what its tools
    /// say.
    fn settle_or_defer(mut self) -> Booked {
        if self.metering.endpoint.is_of_thread()
            && self.ending == Ending::Counted
            && let Text::Heard(heard) = &mut self.text
            && let Some(run) = heard.unfinished_run()
        {
            self.due.defer(run);
            return Booked::there();
        }
        self.settle().1
    }

    /// Counts and settles here.
    pub(super) fn settle(self) -> Settled {
        let Metering { counter, encoding, .. } = &self.metering;
        let (output, served) = match self.text {
            Text::None => (Tokens::ZERO, self.served),
            Text::Heard(heard) => heard.count(counter, *encoding),
            Text::Body(body) => (count_body(&body, counter, *encoding), self.served),
        };
        let usage = match self.told {
            Some(told) => Usage { output: output.max(told.output), ..told },
            None => Usage { input: self.due.input(), output, ..Usage::default() },
        };
        self.due.settle(&Receipt { usage, served }, Method::Approximate, self.ending)
    }
}
