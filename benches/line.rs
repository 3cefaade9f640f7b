//! What it costs to join the line, to settle and let the next go, and to hang up, with few and with
//! many in line and under way.
//!
//! `cargo bench --bench line` prints nanoseconds of CPU per operation of the whole admission (line, limits, keys and
//! their lock; not the waking of tasks), and instructions where valgrind is installed. It fails where 20,000
//! waiting and 10,000 under way cost more than three times what 20 of each do, or where to admit a request
//! that need not wait takes a microsecond with counting and charging configured, or three with neither.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sluicegate::admit::{Admission, Allotments, Ask, Entered, InFlight, Reservation, Waiting};
use sluicegate::config::{
    self, AccountSettings, Flags, KeySettings, LimitRule, LineSettings, ModelPattern, Outside,
    UpstreamSettings,
};
use sluicegate::count::{Demand, Method, Prefix};
use sluicegate::limit::{Charging, Counting, Hint, LaneSettings};
use sluicegate::units::{AccountName, AppName, KeyLabel, ModelName, Party, Requests};
use sluicegate::units::{Secret, Tokens, Usage};
use tokio::runtime::Builder;
use tokio::time::Instant;

#[path = "cost.rs"]
mod cost;

use cost::{Clock, ROUNDS, STILL, counted, cpu, instructions, lower, median, written};

/// Operations are timed in batches, so that reading the clock costs little.
const BATCH: usize = 20;
const BATCHES: usize = 1_000;

fn main() {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    if let Some((name, operations)) = counted() {
        at_once(name == CONFIGURED, operations / BATCH, STILL);
        return;
    }
    let mut slow = Vec::new();
    println!("ns of CPU per operation, 20 waiting and 20 under way | 20,000 and 10,000 | ratio");
    let [mut few, mut many] = [[f64::INFINITY; 3]; 2];
    let [mut configured, mut inferred] = [[f64::INFINITY; 3]; 2];
    for _ in 0..ROUNDS {
        lower(&mut few, waiting(20, 20));
        lower(&mut many, waiting(20_000, 10_000));
        lower(&mut configured, at_once(true, BATCHES, cpu));
        lower(&mut inferred, at_once(false, BATCHES, cpu));
    }
    let names = ["join", "settle and let the next go", "hang up"];
    for ((name, few), many) in names.into_iter().zip(few).zip(many) {
        let ratio = many / few;
        println!("{name}: {few:.0} | {many:.0} | {ratio:.2}");
        if ratio > 3.0 {
            slow.push(format!("{name}: {ratio:.2} times"));
        }
    }
    println!("for a request that need not wait: admit | sent | settle | in all");
    let rows = [(CONFIGURED, configured, 1_000.0), ("inferred", inferred, 3_000.0)];
    for (name, [admit, sent, settle], most) in rows {
        let counted = written(instructions(name));
        println!("{name}: {admit:.0} | {sent:.0} | {settle:.0} | {counted}");
        if !cfg!(debug_assertions) && admit >= most {
            slow.push(format!("{name}: admission takes {admit:.0} ns"));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}

/// The lane whose ways of counting and charging are configured.
const CONFIGURED: &str = "configured";

/// What waits and what is under way, always as many: the lane has so many slots.
struct World {
    admission: Admission,
    apps: Vec<AppName>,
    /// By the order in which they came.
    waiting: BTreeMap<usize, Waiting>,
    /// Whose turn has come.
    rung: Arc<Mutex<VecDeque<usize>>>,
    flying: VecDeque<InFlight>,
    came: usize,
}

/// Notes that somebody's turn has come.
struct Bell {
    number: usize,
    rung: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().expect("no panic").push_back(self.number);
    }
}

/// Returns the costs of joining, of settling with the grant to the next, and of hanging up.
fn waiting(waiting: usize, under_way: usize) -> [f64; 3] {
    let slots = u64::try_from(under_way).expect("few");
    let lane = LaneSettings { concurrency: Some(slots), ..ample() };
    let mut world = World {
        admission: admission(lane),
        apps: (0..500).map(|app| AppName::new(format!("app{app}"))).collect(),
        waiting: BTreeMap::new(),
        rung: Arc::default(),
        flying: VecDeque::new(),
        came: 0,
    };
    meet(&world.admission);
    for _ in 0..under_way {
        let Entered::Granted(reservation) = world.enters() else { panic!("a slot is free") };
        world.flies(reservation);
    }
    for _ in 0..waiting {
        let place = world.joins();
        world.listens(place);
    }
    world.plays()
}

impl World {
    fn enters(&mut self) -> Entered {
        let app = self.apps.get(self.came % self.apps.len()).expect("an app").clone();
        self.came += 1;
        self.admission.enter(ask(app)).expect("room in the line")
    }

    fn flies(&mut self, reservation: Reservation) {
        self.flying.push_back(reservation.commit(Instant::now()));
    }

    fn joins(&mut self) -> Waiting {
        let Entered::Waiting(place) = self.enters() else { panic!("no slot is free") };
        place
    }

    /// Lets it be noted when its turn comes, as a task that waits does.
    fn listens(&mut self, mut place: Waiting) {
        let number = self.waiting.last_key_value().map_or(0, |(number, _)| number + 1);
        let bell = Waker::from(Arc::new(Bell { number, rung: Arc::clone(&self.rung) }));
        assert!(pin!(place.outcome()).poll(&mut Context::from_waker(&bell)).is_pending());
        self.waiting.insert(number, place);
    }

    fn plays(&mut self) -> [f64; 3] {
        let mut times: [Vec<Duration>; 3] = Default::default();
        for _ in 0..BATCHES {
            let begin = cpu();
            let fresh: Vec<Waiting> = (0..BATCH).map(|_| self.joins()).collect();
            let joined = cpu();
            fresh.into_iter().for_each(|place| self.listens(place));
            let newest = (0..BATCH / 2).map(|_| self.waiting.pop_last());
            let newest: Vec<_> = newest.collect();
            let leaving = cpu();
            drop(newest);
            let left = cpu();
            for _ in 0..BATCH / 2 {
                let flight = self.flying.pop_front().expect("some are under way");
                flight.settle(&usage(), Instant::now());
            }
            let settled = cpu();
            for _ in 0..BATCH / 2 {
                let next = self.next();
                self.flies(next);
            }
            let spans = [(joined - begin) / 2, settled - left, left - leaving];
            for (all, span) in times.iter_mut().zip(spans) {
                all.push(span);
            }
        }
        // Of each, but of joining, half a batch was done.
        times.map(|spans| median(spans, BATCH / 2))
    }

    /// Takes the grant of one whose turn has come.
    fn next(&mut self) -> Reservation {
        let number = self.rung.lock().expect("no panic").pop_front().expect("a slot is free");
        let mut place = self.waiting.remove(&number).expect("it waited");
        let outcome = pin!(place.outcome()).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = outcome else { panic!("its turn has come") };
        outcome.expect("a grant")
    }
}

fn at_once(configured: bool, batches: usize, clock: Clock) -> [f64; 3] {
    let lane = LaneSettings {
        counting: configured.then_some(Counting::Bucket),
        charging: configured.then_some(Charging::Refund),
        ..ample()
    };
    let admission = admission(lane);
    meet(&admission);
    let app = AppName::new("app");
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..batches {
        let asks: Vec<Ask> = (0..BATCH).map(|_| ask(app.clone())).collect();
        let begin = clock();
        let granted: Vec<Entered> =
            asks.into_iter().map(|ask| admission.enter(ask).expect("room")).collect();
        let admitted = clock();
        let flights: Vec<InFlight> = granted.into_iter().map(sent).collect();
        let left = clock();
        let now = Instant::now();
        for flight in flights {
            flight.settle(&usage(), now);
        }
        let spans = [admitted - begin, left - admitted, clock() - left];
        for (all, span) in times.iter_mut().zip(spans) {
            all.push(span);
        }
    }
    times.map(|spans| median(spans, BATCH))
}

fn sent(entered: Entered) -> InFlight {
    let Entered::Granted(reservation) = entered else { panic!("there is room") };
    reservation.commit(Instant::now())
}

/// Serves one request, so that the lane is past its first contact.
fn meet(admission: &Admission) {
    let entered = admission.enter(ask(AppName::new("first"))).expect("room");
    let mut flight = sent(entered);
    flight.observe(&Hint::default(), Instant::now());
    flight.settle(&usage(), Instant::now());
}

fn ample() -> LaneSettings {
    LaneSettings {
        requests_per_minute: Some(1_000_000_000),
        tokens_per_minute: Some(1_000_000_000_000),
        counting: Some(Counting::Bucket),
        charging: Some(Charging::Refund),
        ..LaneSettings::default()
    }
}

fn admission(lane: LaneSettings) -> Admission {
    let outside = Outside {
        env: &|_| None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        config_dir: None,
        data_dir: Some("unused".into()),
    };
    let defaults = config::load(&Flags::default(), &outside).expect("the defaults").settings;
    let upstream = defaults.upstreams.into_iter().next().expect("OpenAI's");
    let account = AccountSettings {
        name: AccountName::new("main"),
        keys: vec![KeySettings { label: KeyLabel::new("first"), secret: Secret::new("sk-1") }],
        organization: None,
        project: None,
        limits: vec![LimitRule { models: ModelPattern::new("*"), shared: false, lane }],
    };
    let upstream = UpstreamSettings { accounts: vec![account], limits: Vec::new(), ..upstream };
    let line = LineSettings {
        max_waiting: 100_000,
        max_waiting_per_app: 100_000,
        max_waiting_bytes: usize::MAX / 2,
        ..defaults.line
    };
    Admission::start(&upstream, &line, &Allotments::default()).expect("keys that fit into headers")
}

fn ask(app: AppName) -> Ask {
    Ask {
        own_key: None,
        account: None,
        key_of: None,
        party: Party::usual(app),
        wanted_by: None,
        likeness: None,
        model: ModelName::new("gpt-4o"),
        demand: Demand {
            requests: Requests::ONE,
            input: Tokens::new(60),
            output_bound: Some(Tokens::new(1_000)),
            characters: 240,
            images: 0,
            method: Method::Exact,
        },
        bytes: 300,
        deadline: Instant::now() + Duration::from_secs(86_400),
        place: None,
        avoid: None,
        prefix: Prefix::default(),
    }
}

fn usage() -> Usage {
    Usage { input: Tokens::new(60), output: Tokens::new(140), ..Usage::default() }
}
