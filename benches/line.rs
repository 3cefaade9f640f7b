//! What it costs to join the line, to settle and let the next go, and to hang up, with few and with
//! many in line and under way.
//!
//! `cargo bench --bench line` prints nanoseconds of CPU per operation of the whole admission (line, limits, keys and
//! their lock; not the waking of tasks), and instructions where valgrind is installed. It fails where 20,000
//! waiting and 10,000 under way cost more than three times what 20 of each do, or where to admit a request
//! that need not wait takes a microsecond with counting and charging configured, or three with neither.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sluicegate::admit::{Admission, Ask, Entered, InFlight, Reservation, Waiting};
use sluicegate::config::{
    self, AccountSettings, Flags, KeySettings, LimitRule, LineSettings, ModelPattern, Outside,
    UpstreamSettings,
};
use sluicegate::count::{Demand, Method, Prefix};
use sluicegate::limit::{Charging, Counting, Hint, LaneSettings};
use sluicegate::units::{AccountName, AppName, Class, KeyLabel, ModelName, Party, Requests};
use sluicegate::units::{Secret, Tokens, Usage};
use tokio::runtime::Builder;
use tokio::time::Instant;

#[path = "cost.rs"]
mod cost;

use cost::{Clock, STILL, counted, cpu, instructions, median, written};

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
    let (few, many) = (waiting(20, 20), waiting(20_000, 10_000));
    for ((name, few), (_, many)) in few.into_iter().zip(many) {
        let ratio = many / few;
        println!("{name}: {few:.0} | {many:.0} | {ratio:.2}");
        if ratio > 3.0 {
            slow.push(format!("{name}: {ratio:.2} times"));
        }
    }
    println!("for a request that need not wait: admit | sent | settle | in all");
    for (name, most) in [(CONFIGURED, 1_000.0), ("inferred", 3_000.0)] {
        let [admit, sent, settle] = at_once(name == CONFIGURED, BATCHES, cpu);
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
    waiting: VecDeque<Waiting>,
    flying: VecDeque<InFlight>,
    came: usize,
}

/// Returns the costs of joining, of settling with the grant to the next, and of hanging up.
fn waiting(waiting: usize, under_way: usize) -> Vec<(&'static str, f64)> {
    let slots = u64::try_from(under_way).expect("few");
    let lane = LaneSettings { concurrency: Some(slots), ..ample() };
    let mut world = World {
        admission: admission(lane),
        apps: (0..500).map(|app| AppName::new(format!("app{app}"))).collect(),
        waiting: VecDeque::new(),
        flying: VecDeque::new(),
        came: 0,
    };
    meet(&world.admission);
    for _ in 0..under_way {
        let Entered::Granted(reservation) = world.enters() else { panic!("a slot is free") };
        world.flies(*reservation);
    }
    for _ in 0..waiting {
        let Entered::Waiting(place) = world.enters() else { panic!("no slot is free") };
        world.waiting.push_back(place);
    }
    let [join, next, leave] = world.plays();
    vec![("join", join), ("settle and let the next go", next), ("hang up", leave)]
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

    fn plays(&mut self) -> [f64; 3] {
        let mut times: [Vec<Duration>; 3] = Default::default();
        for _ in 0..BATCHES {
            let begin = cpu();
            for _ in 0..BATCH {
                let Entered::Waiting(place) = self.enters() else { panic!("no slot is free") };
                self.waiting.push_back(place);
            }
            let joined = cpu();
            for place in self.waiting.drain(self.waiting.len() - BATCH / 2..) {
                drop(place);
            }
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
            let spans = [(joined - begin) / 2, settled - left, left - joined];
            for (all, span) in times.iter_mut().zip(spans) {
                all.push(span);
            }
        }
        // Of each, but of joining, half a batch was done.
        times.map(|spans| median(spans, BATCH / 2))
    }

    /// Takes the grant of whoever came first: apps of equal shares that come in turn go in turn.
    fn next(&mut self) -> Reservation {
        let mut place = self.waiting.pop_front().expect("somebody waits");
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
    Admission::start(&upstream, &line).expect("keys that fit into headers")
}

fn ask(app: AppName) -> Ask {
    Ask {
        own_key: None,
        party: Party { app, class: Class::Standard, weight: Party::USUAL_WEIGHT },
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
