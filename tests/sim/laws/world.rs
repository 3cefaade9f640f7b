//! Random worlds: what comes, what it is charged, and what becomes of it, through [`Admission`] itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderMap;
use proptest::prelude::*;
use sluicegate::admit::{Admission, Ask, InFlight, Refusal, Reservation};
use sluicegate::config::{
    AccountSettings, Dialect, Disconnect, KeySettings, LimitRule, LineMode, LineSettings,
    ModelPattern, UpstreamSettings,
};
use sluicegate::count::{Demand, Method, Prefix};
use sluicegate::limit::{Charging, Counting, Estimator, Hint, HintWindow, LaneSettings, QuotaHint};
use sluicegate::line::Place;
use sluicegate::units::{
    AccountName, Class, KeyLabel, ModelName, Party, Requests, Secret, Tokens, Usage,
};
use sluicegate::upstream::{AccountId, Finding, Verdict};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::book::{Book, Close, Out};

pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// All that a run depends on.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) accounts: Vec<Account>,
    pub(crate) counting: Counting,
    pub(crate) charging: Charging,
    /// Whether answers tell what is left. Then nothing fails and no answer is lost: what a provider
    /// charges for those is its secret, and headers that tell of it contradict any belief for a while.
    pub(crate) tells: bool,
    pub(crate) apps: Vec<Party>,
    pub(crate) jobs: Vec<Job>,
}

/// An account: the first has one lane for all models, the others one for each.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) keys: usize,
    /// When its first key dies.
    pub(crate) key_dies: Option<Duration>,
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) slots: Option<u64>,
}

/// A request, and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) arrives: Duration,
    pub(crate) app: usize,
    pub(crate) model: usize,
    pub(crate) input: u64,
    pub(crate) bound: u64,
    pub(crate) output: u64,
    /// One way to the provider and back.
    pub(crate) delay: Duration,
    pub(crate) takes: Duration,
    pub(crate) fate: Fate,
    /// How long until its client hangs up.
    pub(crate) hangs_up: Option<Duration>,
    /// How long it is held; who is refused then comes back once, as it was told.
    pub(crate) held: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// Given back at once: its client hung up when its turn came.
    Cancelled,
    /// Its answer never comes.
    Lost,
    Failed,
}

impl World {
    /// Returns the lanes that a model may use, by number.
    pub(crate) fn lanes(&self, model: usize) -> Vec<usize> {
        (0..self.accounts.len()).map(|account| lane_number(account, model)).collect()
    }

    /// Returns the account of a lane.
    pub(crate) fn account(&self, lane: usize) -> &Account {
        &self.accounts[lane.div_ceil(MODELS)]
    }
}

fn lane_number(account: usize, model: usize) -> usize {
    if account == 0 { 0 } else { 1 + (account - 1) * MODELS + model }
}

const MODELS: usize = 2;

/// Worlds of up to so many requests.
pub(crate) fn worlds(most: usize) -> impl Strategy<Value = World> {
    let limits = (5..40_u64, 600..3_000_u64, prop::option::weighted(0.2, 1..6_u64));
    let dies = prop::option::weighted(0.3, 0..120_000_u64);
    let account = (1..3_usize, dies, limits).prop_map(|(keys, dies, (requests, tokens, slots))| {
        let key_dies = dies.filter(|_| keys > 1).map(Duration::from_millis);
        Account { keys, key_dies, requests, tokens, slots }
    });
    let class = prop::sample::select(Class::ALL.to_vec());
    let app = (class, 50..200_u32);
    let counting = prop::sample::select(vec![Counting::Bucket, Counting::Sliding]);
    let charging = prop::sample::select(vec![Charging::Max, Charging::Refund, Charging::Refund]);
    let accounts = prop_oneof![
        2 => prop::collection::vec(account.clone(), 1),
        1 => prop::collection::vec(account, 2..4),
    ];
    let apps = prop::collection::vec(app, 1..5);
    let how = (counting, charging, any::<bool>());
    (accounts, how, apps, jobs(most)).prop_map(
        |(mut accounts, (counting, charging, tells), apps, jobs)| {
            for account in accounts.iter_mut().filter(|_| tells) {
                account.key_dies = None;
            }
            let apps: Vec<Party> = (0..)
                .zip(apps)
                .map(|(n, (class, weight))| Party {
                    app: format!("app{n}").as_str().into(),
                    class,
                    weight,
                })
                .collect();
            let mut now = Duration::ZERO;
            let jobs = jobs.into_iter().map(|(gap, job)| {
                now += gap;
                let fails = tells && matches!(job.fate, Fate::Failed | Fate::Lost);
                let fate = if fails { Fate::Answered } else { job.fate };
                Job { arrives: now, app: job.app % apps.len(), fate, ..job }
            });
            World { jobs: jobs.collect(), accounts, counting, charging, tells, apps }
        },
    )
}

fn jobs(most: usize) -> impl Strategy<Value = Vec<(Duration, Job)>> {
    let gap = prop_oneof![2 => Just(0), 4 => 0..300_u64, 4 => 0..4_000_u64, 1 => 0..60_000_u64];
    let takes = prop_oneof![0..500_u64, 0..5_000_u64, 0..70_000_u64];
    let fate = prop_oneof![
        12 => Just(Fate::Answered),
        1 => Just(Fate::Cancelled),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Failed),
    ];
    let patience = || prop::option::weighted(0.15, 0..40_000_u64);
    let size = prop_oneof![8 => (1..80_u64, 0..200_u64), 1 => (1..200_u64, 0..600_u64)];
    let times = (gap, takes, 0..40_u64);
    let who = (0..4_usize, 0..MODELS);
    let job = (times, who, size, 0..=100_u64, fate, (patience(), patience())).prop_map(
        |((gap, takes, delay), (app, model), (input, bound), percent, fate, patience)| {
            let job = Job {
                arrives: Duration::ZERO,
                app,
                model,
                input,
                bound,
                output: bound * percent / 100,
                delay: Duration::from_millis(delay),
                takes: Duration::from_millis(takes),
                fate,
                hangs_up: patience.0.map(Duration::from_millis),
                held: patience.1.map(Duration::from_millis),
            };
            (Duration::from_millis(gap), job)
        },
    );
    prop::collection::vec(job, 1..most)
}

/// Lives through a world, and returns what was written down of it.
pub(crate) fn play(world: &World) -> Book {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets");
    let world = Rc::new(world.clone());
    LocalSet::new().block_on(&runtime, async {
        let admission =
            Admission::start(&upstream(&world), &line()).expect("keys that fit into headers");
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
        sleep(3 * WINDOW).await;
        let snapshot = admission.snapshot();
        let open = snapshot.lanes.iter().map(|lane| lane.open).sum();
        let book = Rc::into_inner(book).expect("nobody else writes into it any more");
        let mut book = book.into_inner();
        book.ended = ended.then_some((snapshot.waiting, open));
        book
    })
}

/// Lets every lane have its first answer, and its quotas fill up again.
async fn get_acquainted(admission: &Admission, world: &World) {
    for model in 0..MODELS {
        let mut flights = Vec::new();
        for _ in &world.accounts {
            let ask = ask(&Party::usual("first".into()), model, (1, 0), None);
            let reservation = admission.acquire(ask).await.expect("room for the first");
            flights.push(reservation.commit(Instant::now()));
        }
        for mut flight in flights {
            flight.observe(&Hint::default(), Instant::now());
            flight.settle(&usage(1, 0), Instant::now());
        }
    }
    sleep(3 * WINDOW).await;
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
                    returned = true;
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
        let name = reservation.account_name().expect("an account");
        let account: usize = name.as_str().parse().expect("a number");
        let lane = lane_number(account, job.model);
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
        let dies = self.world.accounts[account].key_dies;
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
        let failed = job.fate == Fate::Failed;
        let left = self.book.borrow_mut().arrives(debit, !failed, self.now());
        flight = self.hears(flight, lane, left).await;
        sleep(job.takes).await;
        self.book.borrow_mut().ends(debit, self.now());
        sleep(job.delay).await;
        self.ends(flight, debit);
        None
    }

    /// Hears from the provider what is left.
    async fn hears(&self, mut flight: InFlight, lane: usize, left: (u64, u64)) -> InFlight {
        let account = self.world.account(lane);
        let window = HintWindow::Minute;
        let hint =
            |limit, remaining| Some(QuotaHint { limit, remaining, window, ..QuotaHint::default() });
        let told = Hint {
            requests: hint(account.requests, self.world.tells.then_some(left.0)),
            tokens: hint(account.tokens, self.world.tells.then_some(left.1)),
            ..Hint::default()
        };
        sleep(self.job().delay).await;
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
const FAR: Duration = Duration::from_secs(30 * 86_400);
/// Nobody waits longer: the bound that `line` states, for the largest of these worlds.
const LONGEST: Duration = Duration::from_secs(4 * 3_600);

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
    let account = |(number, account): (usize, &Account)| {
        let lane = LaneSettings {
            requests_per_minute: Some(account.requests),
            tokens_per_minute: Some(account.tokens),
            concurrency: account.slots,
            counting: Some(world.counting),
            charging: Some(world.charging),
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
