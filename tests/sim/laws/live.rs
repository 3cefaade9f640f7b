//! Lives through a world, request by request, through [`Admission`] itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderMap;
use sluicegate::admit::{Admission, Allotments, Ask, InFlight, Refusal, Reservation};
use sluicegate::config::{
    AccountSettings, AzureSettings, Dialect, Disconnect, KeySettings, LimitRule, LineMode,
    LineSettings, ModelPattern, UpstreamSettings,
};
use sluicegate::count::{Demand, Method, Prefix};
use sluicegate::limit::{Charging, Estimator, Hint, HintWindow, LaneSettings, QuotaHint};
use sluicegate::line::Place;
use sluicegate::units::{AccountName, KeyLabel, ModelName, Party, Requests, Secret, Tokens, Usage};
use sluicegate::upstream::{AccountId, Finding, Verdict};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::book::{Book, Close, Out};
use super::world::{Account, DAY, Fate, Job, MODELS, Quota, World, lane_number};

/// Lives through a world, and returns what was written down of it.
pub(crate) fn play(world: &World) -> Book {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets");
    let world = Rc::new(world.clone());
    LocalSet::new().block_on(&runtime, async {
        let admission = Admission::start(&upstream(&world), &line(), &Allotments::default())
            .expect("keys that fit into headers");
        get_acquainted(&admission, &world).await;
        let begin = Instant::now();
        let book = Rc::new(RefCell::new(Book::new(Rc::clone(&world))));
        let mut tasks = JoinSet::new();
        for number in 0..world.jobs.len() {
            let (admission, book) = (admission.clone(), Rc::clone(&book));
            let client = Client { admission, book, world: Rc::clone(&world), number, begin };
            tasks.spawn_local(client.live());
        }
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                ended.expect("no task panics");
            }
        };
        let ended = timeout(LONGEST, all).await.is_ok();
        drop(tasks);
        sleep(2 * DAY).await;
        let snapshot = admission.snapshot();
        let open = snapshot.lanes.iter().map(|lane| lane.open).sum();
        let book = Rc::into_inner(book).expect("nobody else writes into it any more");
        let mut book = book.into_inner();
        book.ended = ended.then_some((snapshot.waiting, open));
        book
    })
}

/// Lets every lane have its first answer, which tells its limits, and its quotas fill up again.
async fn get_acquainted(admission: &Admission, world: &World) {
    for model in 0..MODELS {
        let mut flights = Vec::new();
        for _ in &world.accounts {
            let ask = ask(&Party::usual("first".into()), model, (1, 0), None);
            let reservation = admission.acquire(ask).await.expect("room for the first");
            let lane = lane_of(&reservation, model);
            flights.push((lane, reservation.commit(Instant::now())));
        }
        for (lane, mut flight) in flights {
            flight.observe(&headers(world, lane, |_| None), Instant::now());
            flight.settle(&usage(1, 0), Instant::now());
        }
    }
    sleep(2 * DAY).await;
}

fn lane_of(reservation: &Reservation, model: usize) -> usize {
    let name = reservation.account_name().expect("an account");
    lane_number(name.as_str().parse().expect("a number"), model)
}

/// Returns what an answer's headers tell of a lane: the limits, and what is `left` of them with the time
/// until they are full again.
fn headers(world: &World, lane: usize, left: impl Fn(&Quota) -> Option<(u64, Duration)>) -> Hint {
    let quotas = world.quotas(lane);
    let day = quotas.len() - if world.account(lane).daily.is_some() { 2 } else { 0 };
    let hint = |number: usize| {
        let quota = quotas.get(number)?;
        let (remaining, reset) = left(quota).unzip();
        let window = if number < day { HintWindow::Minute } else { HintWindow::Day };
        Some(QuotaHint { limit: quota.limit, remaining, reset, window, ..QuotaHint::default() })
    };
    let apart = world.mode.charging == Charging::Split;
    let (requests, tokens) = (hint(0), hint(1));
    if apart {
        return Hint { requests, input: tokens, output: hint(2), ..Hint::default() };
    }
    let (requests_daily, tokens_daily) = (hint(2), hint(3));
    Hint { requests, tokens, requests_daily, tokens_daily, ..Hint::default() }
}

/// With what a request comes back whose key was dead: its place, and the account to avoid.
type Again = (Place, Option<AccountId>);

struct Client {
    admission: Admission,
    book: Rc<RefCell<Book>>,
    world: Rc<World>,
    number: usize,
    begin: Instant,
}

impl Client {
    fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    fn job(&self) -> &Job {
        &self.world.jobs[self.number]
    }

    async fn live(self) {
        sleep_until(self.begin + self.job().arrives).await;
        let mut again: Option<Again> = None;
        let mut returned = false;
        loop {
            self.book.borrow_mut().enters(self.number, self.now());
            match self.asks(again).await {
                Out::Granted(reservation) => match self.goes(*reservation).await {
                    Some(retry) => again = Some(retry),
                    None => return,
                },
                Out::HungUp => return self.book.borrow_mut().leaves(self.number, self.now()),
                Out::Refused(refusal) => {
                    self.book.borrow_mut().refuses(self.number, &refusal, self.now());
                    if returned {
                        return;
                    }
                    // It comes back as a new request.
                    (returned, again) = (true, None);
                    sleep(refusal.retry_after()).await;
                }
            }
        }
    }

    async fn asks(&self, again: Option<Again>) -> Out {
        let job = self.job();
        let party = &self.world.apps[job.app];
        let mut ask = ask(party, job.model, (job.input, job.bound), job.held);
        let alone = self.book.borrow().keeps_order(job.app);
        ask.likeness = Some(if alone { self.number as u64 + 10 } else { job.input % 3 });
        if let Some((place, avoid)) = again {
            ask.place = Some(place);
            ask.avoid = avoid;
        }
        let hangs_up = job.hangs_up.unwrap_or(FAR);
        match timeout(hangs_up, self.admission.acquire(ask)).await {
            Ok(Ok(reservation)) => Out::Granted(Box::new(reservation)),
            Ok(Err(refusal)) => Out::Refused(refusal),
            Err(_) => Out::HungUp,
        }
    }

    /// Sends the request; returns with what it comes back, if its key is dead.
    async fn goes(&self, reservation: Reservation) -> Option<Again> {
        let job = self.job();
        let lane = lane_of(&reservation, job.model);
        let again = (reservation.place(), reservation.account());
        let first_key = reservation.credential().expect("a key").label.as_str().ends_with('0');
        let debit = self.book.borrow_mut().grants(self.number, lane, self.now());
        if job.fate == Fate::Cancelled {
            self.book.borrow_mut().closes(debit, Close::Cancelled, self.now());
            drop(reservation);
            return None;
        }
        let mut flight = reservation.commit(Instant::now());
        sleep(job.delay).await;
        let dies = self.world.account(lane).key_dies;
        if first_key && dies.is_some_and(|dies| dies <= self.now()) {
            self.book.borrow_mut().arrives(debit, false, self.now());
            self.book.borrow_mut().ends(debit, self.now());
            sleep(job.delay).await;
            let finding = Finding::of(Verdict::KeyRejected);
            self.book.borrow_mut().closes(debit, Close::Failed, self.now());
            flight.report(&finding, &HeaderMap::new(), Instant::now());
            flight.failed(Instant::now());
            return Some(again);
        }
        self.book.borrow_mut().arrives(debit, job.fate != Fate::Failed, self.now());
        flight = self.hears(flight, (debit, lane)).await;
        sleep(job.takes).await;
        self.book.borrow_mut().ends(debit, self.now());
        sleep(job.delay).await;
        self.ends(flight, debit);
        None
    }

    /// Hears from the provider what is left.
    async fn hears(&self, mut flight: InFlight, (debit, lane): (usize, usize)) -> InFlight {
        let tells = self.world.told.levels;
        let told = {
            let (book, now) = (self.book.borrow(), self.now());
            headers(&self.world, lane, |quota| tells.then(|| book.shown(lane, quota, now)))
        };
        sleep(self.job().delay).await;
        self.book.borrow_mut().hears(debit, self.now());
        flight.observe(&told, Instant::now());
        flight
    }

    fn ends(&self, flight: InFlight, debit: usize) {
        let job = self.job();
        let close = match job.fate {
            Fate::Answered => Close::Settled,
            Fate::Failed => Close::Failed,
            Fate::Lost | Fate::Cancelled => Close::Kept,
        };
        self.book.borrow_mut().closes(debit, close, self.now());
        match job.fate {
            Fate::Answered => flight.settle(&usage(job.input, job.output), Instant::now()),
            Fate::Failed => flight.failed(Instant::now()),
            Fate::Lost | Fate::Cancelled => drop(flight),
        }
    }
}

pub(crate) fn ask(
    party: &Party,
    model: usize,
    (input, bound): (u64, u64),
    held: Option<Duration>,
) -> Ask {
    Ask {
        own_key: None,
        account: None,
        key_of: None,
        party: party.clone(),
        wanted_by: None,
        likeness: None,
        model: ModelName::new(format!("m{model}")),
        demand: Demand {
            requests: Requests::ONE,
            input: Tokens::new(input),
            output_bound: Some(Tokens::new(bound)),
            characters: 4 * input,
            images: 0,
            method: Method::Exact,
        },
        bytes: 100,
        deadline: Instant::now() + held.unwrap_or(FAR),
        place: None,
        avoid: None,
        prefix: Prefix::default(),
    }
}

pub(crate) fn usage(input: u64, output: u64) -> Usage {
    let (input, output) = (Tokens::new(input), Tokens::new(output));
    Usage { input, output, ..Usage::default() }
}

/// Whoever is not held for so long is held for ever.
pub(super) const FAR: Duration = Duration::from_secs(30 * 86_400);
/// The longest of these worlds has ended by then, whatever its days allow.
const LONGEST: Duration = Duration::from_secs(10 * 86_400);

pub(crate) fn line() -> LineSettings {
    LineSettings {
        max_wait: FAR,
        max_waiting: 10_000,
        max_waiting_per_app: 10_000,
        max_waiting_bytes: usize::MAX / 2,
        mode: LineMode::Enforce,
        keep_alive: None,
        on_disconnect: Disconnect::Cancel,
    }
}

fn upstream(world: &World) -> UpstreamSettings {
    let (limits, apart) = (world.told.limits, world.mode.charging == Charging::Split);
    let account = |(number, account): (usize, &Account)| {
        let tokens = Some(account.tokens).filter(|_| limits);
        let daily = account.daily.filter(|_| limits);
        let lane = LaneSettings {
            requests_per_minute: limits.then_some(account.requests),
            tokens_per_minute: tokens.filter(|_| !apart),
            input_tokens_per_minute: tokens.filter(|_| apart),
            output_tokens_per_minute: tokens.filter(|_| apart),
            requests_per_day: daily.map(|daily| daily.0),
            tokens_per_day: daily.map(|daily| daily.1),
            concurrency: account.slots,
            day: DAY,
            counting: Some(world.mode.counting).filter(|_| world.told.mode),
            charging: Some(world.mode.charging).filter(|_| world.told.mode),
            estimator: Some(Estimator::Tokens),
            ..LaneSettings::default()
        };
        account_with(number, account.keys, lane)
    };
    upstream_of(world.accounts.iter().enumerate().map(account).collect())
}

pub(crate) fn upstream_of(accounts: Vec<AccountSettings>) -> UpstreamSettings {
    UpstreamSettings {
        name: "test".into(),
        base_url: http::Uri::from_static("http://127.0.0.1:1/v1"),
        azure: AzureSettings::default(),
        dialect: Dialect::OpenAi,
        accounts,
        limits: Vec::new(),
    }
}

pub(crate) fn account_with(number: usize, keys: usize, lane: LaneSettings) -> AccountSettings {
    let key = |key| KeySettings {
        label: KeyLabel::new(format!("{number}-{key}")),
        secret: Secret::new(format!("sk-{number}-{key}")),
    };
    AccountSettings {
        name: AccountName::new(number.to_string()),
        keys: (0..keys).map(key).collect(),
        organization: None,
        project: None,
        limits: vec![LimitRule { models: ModelPattern::new("*"), shared: number == 0, lane }],
    }
}

/// A refusal that this world knows.
pub(crate) fn is_in_time(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::TimeIsUp { .. } | Refusal::TooLarge { .. })
}
