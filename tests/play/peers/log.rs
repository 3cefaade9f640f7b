//! A log of the last minute, whose workers put back what does not fit and sleep.
//!
//! What batch scripts commonly do. So many workers take requests from one queue. Before one is sent, the worker
//! adds up what the log of the last minute holds; a request with its worst case (prompt and `max_tokens`) that
//! would lift the sum above the limit, or be one request too many, goes to the end of the queue, and the worker
//! sleeps for a fixed time. What goes is entered with its worst case, and, where the recipe is a good
//! one, corrected when the answer tells what was used. After a refusal the request goes to the end of the
//! queue, and the worker sleeps as long as the provider said, else the fixed time; what the provider cannot answer
//! at all goes back at most ten times. Of several keys, the one whose log has most room is taken. Large requests
//! are overtaken for as long as small ones come.
//!
//! Tried: 32, 128 and 512 workers, sleeping for a quarter of a second and for two seconds of a minute, and for as
//! much of a day where that is the window; entries that stay as they are, and entries that are corrected.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use sluicegate::units::Usage;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::super::diary::Fate;
use super::super::provider::Provider;
use super::super::run::System;
use super::super::scenario::Scenario;
use super::super::work::Job;
use super::known::{Known, accounts};
use super::sdk::{Tried, try_once};

/// What can be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    workers: usize,
    /// The fixed time for which a worker sleeps, in a window of a minute.
    pause: Duration,
    entry: Entry,
}

/// What becomes of an entry when the answer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// It stays at the worst case.
    Stays,
    /// It becomes what was used.
    Corrected,
}

const QUARTER: Duration = Duration::from_millis(250);
const LONG: Duration = Duration::from_secs(2);

/// What is tried.
pub(super) const SETTINGS: [Setting; 7] = [
    Setting { workers: 128, pause: QUARTER, entry: Entry::Stays },
    Setting { workers: 32, pause: QUARTER, entry: Entry::Corrected },
    Setting { workers: 128, pause: QUARTER, entry: Entry::Corrected },
    Setting { workers: 512, pause: QUARTER, entry: Entry::Corrected },
    Setting { workers: 32, pause: LONG, entry: Entry::Corrected },
    Setting { workers: 128, pause: LONG, entry: Entry::Corrected },
    Setting { workers: 512, pause: LONG, entry: Entry::Corrected },
];

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let entry = match self.entry {
            Entry::Stays => "entries stay",
            Entry::Corrected => "entries corrected",
        };
        write!(f, "{} workers, sleep {:?}, {entry}", self.workers, self.pause)
    }
}

/// Workers with a log.
#[derive(Debug)]
pub(super) struct Log {
    provider: Provider,
    setting: Setting,
    /// The fixed time for which a worker sleeps.
    pause: Duration,
    /// A fair semaphore: who comes again stands at the end.
    workers: Semaphore,
    pages: RefCell<Vec<Page>>,
}

/// The log of one key.
#[derive(Debug)]
struct Page {
    known: Known,
    /// When, and how many tokens.
    entries: VecDeque<(Duration, f64)>,
    /// The number of the first entry.
    first: usize,
    tokens: f64,
}

/// An entry: its page and its number there.
type Mark = (usize, usize);

impl Log {
    /// Creates an empty log.
    pub(super) fn new(provider: Provider, keys: Vec<Known>, setting: Setting) -> Self {
        let page = |known| Page { known, entries: VecDeque::new(), first: 0, tokens: 0.0 };
        let minutes = keys.first().map_or(1.0, |key| key.window.as_secs_f64() / 60.0);
        Self {
            provider,
            setting,
            pause: setting.pause.mul_f64(minutes),
            workers: Semaphore::new(setting.workers),
            pages: RefCell::new(keys.into_iter().map(page).collect()),
        }
    }

    /// Enters a request of so many tokens where there is most room; `None` where there is none.
    fn enter(&self, tokens: f64) -> Option<(Mark, String)> {
        let now = self.provider.now();
        let mut pages = self.pages.borrow_mut();
        for page in pages.iter_mut() {
            page.forget(now);
        }
        let fitting = pages.iter_mut().enumerate().filter(|(_, page)| page.fits(tokens));
        let used = |page: &Page| page.tokens / page.known.tokens;
        let (number, page) = fitting.min_by(|(_, a), (_, b)| used(a).total_cmp(&used(b)))?;
        page.entries.push_back((now, tokens));
        page.tokens += tokens;
        Some(((number, page.first + page.entries.len() - 1), page.known.key.clone()))
    }

    fn correct(&self, (page, number): Mark, used: &Usage) {
        let page = &mut self.pages.borrow_mut()[page];
        let entry = number.checked_sub(page.first).and_then(|at| page.entries.get_mut(at));
        if let Some((_, tokens)) = entry {
            #[expect(clippy::cast_precision_loss, reason = "thousands")]
            let used = (used.input.count() + used.output.count()) as f64;
            page.tokens += used - *tokens;
            *tokens = used;
        }
    }
}

impl Page {
    fn forget(&mut self, now: Duration) {
        let from = now.saturating_sub(self.known.window);
        while let Some((_, tokens)) = self.entries.pop_front_if(|(at, _)| *at < from) {
            self.tokens -= tokens;
            self.first += 1;
        }
    }

    fn fits(&self, tokens: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let requests = self.entries.len() as f64;
        self.tokens + tokens <= self.known.tokens && requests + 1.0 <= self.known.requests
    }
}

impl System for Log {
    fn open(scenario: &Scenario, provider: Provider, _seed: u64) -> Self {
        Self::new(provider, accounts(scenario), SETTINGS[0])
    }

    async fn serve(&self, job: &Job) -> Fate {
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let worst = (job.cost.prompt + job.cost.bound.unwrap_or(job.cost.model_max)) as f64;
        let mut failures = 0;
        loop {
            let _worker = self.workers.acquire().await.expect("it is never closed");
            let Some((mark, key)) = self.enter(worst) else {
                sleep(self.pause).await;
                continue;
            };
            match try_once(&self.provider, &key, job).await {
                Tried::Answered(fate, used) => {
                    if self.setting.entry == Entry::Corrected {
                        self.correct(mark, &used);
                    }
                    return fate;
                }
                Tried::Again(told) => {
                    failures += u32::from(told.is_none());
                    if failures > MOST_FAILURES {
                        return Fate::Failed;
                    }
                    sleep(told.unwrap_or(self.pause)).await;
                }
                Tried::Never => return Fate::Failed,
            }
        }
    }
}

/// How often a request goes back that the provider could not answer.
const MOST_FAILURES: u32 = 10;
