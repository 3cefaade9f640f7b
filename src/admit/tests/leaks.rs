//! Whatever requests do, and in whatever order, nothing stays behind.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::*;

fn short_line() -> LineSettings {
    LineSettings { max_waiting: 12, ..line() }
}

/// Requests in every stage.
struct World {
    admission: Admission,
    random: StdRng,
    waiting: Vec<Pending>,
    granted: Vec<Reservation>,
    flying: Vec<InFlight>,
    brings_own_keys: bool,
    refusals: usize,
}

impl World {
    fn new(keys: &[usize], seed: u64) -> Self {
        let lane = LaneSettings {
            concurrency: Some(5),
            requests_per_minute: Some(300),
            charging: Some(Charging::Refund),
            ..thousand()
        };
        let admission =
            Admission::start(&upstream(keys, lane), &short_line(), &Allotments::default())
                .expect("a fleet");
        Self {
            admission,
            random: StdRng::seed_from_u64(seed),
            waiting: Vec::new(),
            granted: Vec::new(),
            flying: Vec::new(),
            brings_own_keys: keys.is_empty(),
            refusals: 0,
        }
    }

    fn pick<T>(random: &mut StdRng, from: &mut Vec<T>) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        let index = random.random_range(0..from.len());
        Some(from.swap_remove(index))
    }

    fn arrive(&mut self) {
        let random = &mut self.random;
        let tokens = if random.random_ratio(1, 40) { 2000 } else { random.random_range(1..300) };
        let patience = Duration::from_millis(random.random_range(0..20_000));
        let key = format!("client{}", random.random_range(0..3));
        let ask = Ask {
            own_key: self.brings_own_keys.then(|| client_key(&key)),
            model: ModelName::new(format!("m{}", random.random_range(0..3))),
            deadline: Instant::now() + patience,
            ..ask(tokens)
        };
        let admission = self.admission.clone();
        self.waiting.push(Pending(Box::pin(async move { admission.acquire(ask).await })));
    }

    /// Polls everyone who waits, and sorts out who has an answer.
    fn poll(&mut self) {
        let mut still = Vec::new();
        for mut pending in self.waiting.drain(..) {
            match pending.poll() {
                None => still.push(pending),
                Some(Ok(reservation)) => self.granted.push(reservation),
                Some(Err(_)) => self.refusals += 1,
            }
        }
        self.waiting = still;
    }

    fn answer(&mut self, now: Instant) {
        let Some(mut flight) = Self::pick(&mut self.random, &mut self.flying) else { return };
        let verdict = match self.random.random_range(0..40) {
            0 => Verdict::KeyRejected,
            1 => Verdict::OutOfQuota,
            2 => Verdict::SlowDown,
            3 => Verdict::ServerError,
            4 => Verdict::RateLimited,
            _ => Verdict::Fine,
        };
        flight.observe(&Hint::default(), now);
        flight.report(&Finding::of(verdict), &HeaderMap::new(), now);
        match self.random.random_range(0..5) {
            0 => drop(flight),
            1 => flight.unsent(),
            2 => flight.refused(now),
            _ => {
                let input = Tokens::new(self.random.next_u64() % 300);
                flight.settle(&Usage { input, ..Usage::default() }, now);
            }
        }
    }

    /// Takes over another configuration, with other accounts, keys, limits and groups of models.
    fn renew(&mut self) {
        let random = &mut self.random;
        if self.brings_own_keys || !random.random_ratio(1, 10) {
            return;
        }
        let accounts = random.random_range(1..4);
        let keys: Vec<usize> = (0..accounts).map(|_| random.random_range(1..3)).collect();
        let charging = [Charging::Refund, Charging::Later][random.random_range(0..2)];
        let lane = LaneSettings {
            concurrency: Some(random.random_range(2..6)),
            requests_per_minute: random.random_ratio(1, 2).then_some(300),
            tokens_per_minute: Some(random.random_range(800..1_500)),
            charging: Some(charging),
            ..LaneSettings::default()
        };
        let mut other = upstream(&keys, lane);
        other.limits[0].shared = random.random_ratio(1, 2);
        self.admission.renew(&other, &short_line()).expect("keys that fit into headers");
    }

    async fn step(&mut self) {
        match self.random.random_range(0..11) {
            10 => self.renew(),
            0..=3 => self.arrive(),
            4 => drop(Self::pick(&mut self.random, &mut self.waiting)),
            5 => drop(Self::pick(&mut self.random, &mut self.granted)),
            6 | 7 => {
                let sent = Self::pick(&mut self.random, &mut self.granted);
                self.flying.extend(sent.map(|granted| granted.commit(Instant::now())));
            }
            8 => self.answer(Instant::now()),
            _ => advance(Duration::from_millis(self.random.random_range(0..3_000))).await,
        }
        // Not always: a grant may wait in its channel while its owner hangs up.
        if self.random.random_ratio(2, 3) {
            self.poll();
        }
    }
}

async fn ends_with_nothing(keys: &[usize], seed: u64) {
    let mut world = World::new(keys, seed);
    let (mut granted, mut waited) = (0, 0);
    for _ in 0..10_000 {
        world.step().await;
        granted += usize::from(!world.granted.is_empty());
        waited += world.admission.snapshot().waiting;
        assert!(world.admission.snapshot().waiting <= 12, "the line outgrew its bound");
    }
    assert!(granted > 100 && waited > 100 && world.refusals > 100, "the test tests nothing");
    let World { admission, waiting, granted, flying, .. } = world;
    drop((waiting, granted, flying));
    nothing_is_left(&admission);
    advance(Duration::from_secs(151)).await;
    tokio::task::yield_now().await;
    let left = admission.shared.with(|state| {
        let retired = state.lanes.values().filter(|entry| entry.is_retired).count();
        (retired, state.lanes.values().map(|entry| entry.open).sum::<usize>())
    });
    assert_eq!(left, (0, 0), "lanes of an earlier configuration, and open debits, are left");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_steps_with_our_keys_leave_nothing_behind() {
    ends_with_nothing(&[2, 1], 1).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_random_steps_with_clients_keys_leave_nothing_behind() {
    ends_with_nothing(&[], 2).await;
}
