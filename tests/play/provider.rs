//! The simulated provider at the other end of a network.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use sluicegate::simulate::engine::{Admission, Engine, Outcome, Refusal, Stats, Ticket};
use sluicegate::simulate::{Head, HeadStyle};
use sluicegate::units::{Tokens, Usage};
use tokio::time::{Instant, sleep, sleep_until};

use super::diary::{Diary, Taken};
use super::scenario::Scenario;
use super::work::{Job, MODEL, Mishap};

/// Where requests are sent. Cloning it shares everything.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: RefCell<Engine>,
    diary: RefCell<Diary>,
    style: HeadStyle,
    begin: Instant,
}

/// What comes back first.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer, be it an error.
    Answer(Box<Head>, Box<Rest>),
    /// The connection was closed without one.
    Broken,
}

/// What is still to come of an answer.
#[derive(Debug)]
#[must_use = "an answer that is not read is never settled"]
pub(crate) struct Rest {
    provider: Provider,
    /// The account and number by which the provider settles it; `None` once it did.
    open: Option<Open>,
    /// When its last byte is written, or was.
    written: Instant,
    /// How long that is on its way.
    way: Duration,
    usage: Usage,
    cut: bool,
}

#[derive(Debug)]
struct Open {
    ticket: Ticket,
    /// Where it stands among those taken in.
    taken: usize,
    outcome: Outcome,
}

impl Provider {
    /// Creates the provider of a scenario, for so many requests; time begins now.
    pub(crate) fn new(scenario: &Scenario, seed: u64, requests: usize) -> Self {
        let inner = Inner {
            engine: RefCell::new(Engine::new(scenario.rules(seed))),
            diary: RefCell::new(Diary::new(requests)),
            style: HeadStyle { dialect: scenario.speaks, quotas: scenario.headers },
            begin: Instant::now(),
        };
        Self { inner: Rc::new(inner) }
    }

    /// Sends a request with `key`, and returns what comes back first: at the end of whole answers, at the
    /// first token of streams.
    pub(crate) async fn send(&self, key: &str, job: &Job) -> Reply {
        let before = self.diary().sends(job.number, self.now());
        sleep(job.way(2 * before)).await;
        let way = job.way(2 * before + 1);
        let admitted = self.inner.engine.borrow_mut().admit(key, MODEL, &job.cost, self.now());
        match admitted {
            Ok(admission) => self.answer(admission, (job, before), way).await,
            Err(refusal) => self.refuse(refusal, key, (job, way)).await,
        }
    }

    /// Returns the notes.
    pub(crate) fn diary(&self) -> RefMut<'_, Diary> {
        self.inner.diary.borrow_mut()
    }

    /// Returns the time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.inner.begin.elapsed()
    }

    /// Returns the date, as the time since 1970.
    pub(crate) fn date(&self) -> Duration {
        self.inner.engine.borrow().rules().epoch + self.now()
    }

    /// Returns what the engine counted.
    pub(crate) fn stats(&self) -> Stats {
        self.inner.engine.borrow_mut().stats(self.now())
    }

    async fn refuse(&self, refusal: Refusal, key: &str, (job, way): (&Job, Duration)) -> Reply {
        let head = self.inner.style.refused(refusal, key, MODEL);
        sleep(way).await;
        self.diary().refused(job.number, self.now());
        Reply::Answer(Box::new(head), Box::new(self.nothing()))
    }

    /// Notes that a try is taken in, which with the head of its answer is on its way for so long.
    fn takes(&self, organisation: &str, job: &Job, ways: Duration) -> usize {
        let account = organisation.rsplit('-').next().and_then(|number| number.parse().ok());
        let account = account.expect("a number");
        let (at, cost) = (self.now(), job.cost);
        self.diary().takes(Taken { account, at, cost, ways, ended: None })
    }

    async fn answer(
        &self,
        admission: Admission,
        (job, before): (&Job, usize),
        way: Duration,
    ) -> Reply {
        let Admission { ticket, organisation, shown } = admission;
        let mishap = job.mishap(before);
        let taken = self.takes(&organisation, job, job.way(2 * before) + way);
        let style = self.inner.style;
        let admitted = Instant::now();
        let part = match mishap {
            Some(Mishap::Cut { part }) => part,
            _ => 1.0,
        };
        let failed = Open { ticket, taken, outcome: Outcome::Failed };
        match mishap {
            Some(Mishap::Error { overloaded }) => {
                sleep(job.first).await;
                self.settle(failed, Usage::default());
                sleep(way).await;
                let head = style.failed(overloaded, &shown, job.first);
                return Reply::Answer(Box::new(head), Box::new(self.nothing()));
            }
            Some(Mishap::Reset) => {
                sleep(job.first).await;
                self.settle(failed, Usage::default());
                sleep(way).await;
                return Reply::Broken;
            }
            Some(Mishap::Cut { .. }) | None => {}
        }
        let output = job.written(part);
        let outcome = match mishap {
            Some(_) => Outcome::Cut { output },
            None => Outcome::Answered { output },
        };
        let mut rest = Rest {
            open: Some(Open { outcome, ..failed }),
            provider: self.clone(),
            written: admitted + job.first + (job.total - job.first).mul_f64(part),
            way: job.way(2 * before + 2),
            usage: Usage {
                input: Tokens::new(job.cost.prompt),
                output: Tokens::new(output),
                ..Usage::default()
            },
            cut: mishap.is_some(),
        };
        let shows =
            if job.stream { (admitted + job.first).min(rest.written) } else { rest.written };
        let arrives = shows + way;
        if rest.written <= arrives {
            rest.write().await;
        }
        sleep_until(arrives).await;
        let head = style.answered(&organisation, &shown, shows - admitted);
        Reply::Answer(Box::new(head), Box::new(rest))
    }

    fn settle(&self, open: Open, usage: Usage) {
        let Open { ticket, taken, outcome } = open;
        self.inner.engine.borrow_mut().finish(ticket, outcome, self.now());
        let (input, output) = (usage.input.count(), usage.output.count());
        self.diary().taken[taken].ended = Some((self.now(), input, output));
    }

    /// What comes after the head of an error.
    fn nothing(&self) -> Rest {
        Rest {
            provider: self.clone(),
            open: None,
            written: Instant::now(),
            way: Duration::ZERO,
            usage: Usage::default(),
            cut: false,
        }
    }
}

impl Rest {
    /// Reads the answer to its end; returns what it used, or `Err` with what it used until it broke off.
    pub(crate) async fn read(mut self) -> Result<Usage, Usage> {
        self.write().await;
        // Nothing overtakes the head.
        sleep_until(self.written + self.way).await;
        if self.cut { Err(self.usage) } else { Ok(self.usage) }
    }

    /// Waits until the provider has written it all, and lets it settle.
    async fn write(&mut self) {
        sleep_until(self.written).await;
        if let Some(open) = self.open.take() {
            self.provider.settle(open, self.usage);
        }
    }
}
