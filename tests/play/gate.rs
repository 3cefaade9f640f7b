//! sluicegate as it is, without its sockets: admission, lanes, line and fleet, and the loop around them.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use sluicegate::admit::{Admission, Allotments, Ask, InFlight, Reservation};
use sluicegate::config::{
    self, AccountSettings, Dialect, Flags, KeySettings, LimitRule, LineSettings, ModelPattern,
    Outside, Settings, UpstreamSettings,
};
use sluicegate::count::{Demand, Method, Prefix};
use sluicegate::limit::Hint;
use sluicegate::simulate::Head;
use sluicegate::units::{AccountName, KeyLabel, ModelName, Party, Requests, Secret, Tokens, Usage};
use sluicegate::upstream::{AccountId, Came, Change, Finding, Verdict, classify, hint};
use tokio::time::{Instant, sleep};

use super::diary::Fate;
use super::dice::Dice;
use super::provider::{Provider, Reply, Rest};
use super::run::System;
use super::scenario::{Account, Scenario};
use super::work::{Job, MODEL};

/// sluicegate before the provider.
#[derive(Debug)]
pub(crate) struct Sluicegate {
    pub(crate) admission: Admission,
    provider: Provider,
    /// The keys, by the labels that are on loan.
    keys: HashMap<KeyLabel, String>,
    /// How the provider speaks of limits.
    dialect: Dialect,
    seed: u64,
}

/// What a try leads to.
enum After {
    Ends(Fate),
    Again { wait: Duration, avoid: Option<AccountId> },
}

impl System for Sluicegate {
    fn open(scenario: &Scenario, provider: Provider, seed: u64) -> Self {
        let settings = settings(scenario);
        let upstream = settings.upstreams.first().expect("OpenAI's");
        let accounts = upstream.accounts.iter().flat_map(|account| &account.keys);
        let keys = accounts.map(|key| (key.label.clone(), key.secret.expose().to_owned()));
        Self {
            keys: keys.collect(),
            admission: Admission::start(upstream, &settings.line, &Allotments::default())
                .expect("keys that fit into headers"),
            provider,
            dialect: scenario.dialect(),
            seed,
        }
    }

    async fn serve(&self, job: &Job) -> Fate {
        let mut ask = ask(job);
        let mut backoff = Backoff { failures: 0, refusals: 0, dice: self.dice(job) };
        loop {
            let Ok(reservation) = self.admission.acquire(ask.clone()).await else {
                return Fate::Failed;
            };
            let place = reservation.place();
            match self.attempt(job, reservation, &mut backoff).await {
                After::Ends(fate) => return fate,
                After::Again { wait, avoid } => {
                    sleep(wait).await;
                    ask.place = Some(place);
                    ask.avoid = avoid;
                }
            }
        }
    }
}

impl Sluicegate {
    fn dice(&self, job: &Job) -> Dice {
        Dice::new(self.seed, 1_000_000 + job.number as u64)
    }

    /// Reads an answer to its end and settles what it used; `None` if it broke off before its client had
    /// anything of it.
    async fn relay(
        &self,
        mut flight: InFlight,
        (head, rest): (&Head, Rest),
        (job, sent): (&Job, Instant),
    ) -> Option<Fate> {
        let now = Instant::now();
        let told = self.hint(&head.headers, sent, now);
        flight.observe(&told, now);
        flight.report(&Finding::of(Verdict::Fine), &head.headers, now);
        let (used, fate): (Usage, Fate) = match rest.read().await {
            Ok(used) => (used, Fate::Served),
            Err(used) if job.stream => (used, Fate::Cut),
            // Nobody knows what it used: dropping it keeps the estimate.
            Err(_) => return None,
        };
        flight.settle(&used, Instant::now());
        Some(fate)
    }

    fn hint(&self, headers: &HeaderMap, sent: Instant, now: Instant) -> Hint {
        hint(headers, self.dialect, Came { at: self.provider.date(), after: now - sent })
    }

    async fn attempt(&self, job: &Job, reservation: Reservation, backoff: &mut Backoff) -> After {
        let account = reservation.account();
        let credential = reservation.credential().expect("a key");
        let key = self.keys.get(&credential.label).expect("a key of ours").clone();
        let sent = Instant::now();
        let flight = reservation.commit(sent);
        match self.provider.send(&key, job).await {
            Reply::Answer(head, rest) if head.status.is_success() => {
                let fate = self.relay(flight, (&head, *rest), (job, sent)).await;
                fate.map_or_else(|| failed(account, backoff), After::Ends)
            }
            Reply::Answer(head, _) => {
                let told = self.hint(&head.headers, sent, Instant::now());
                refused(flight, (&head, told), account, backoff)
            }
            Reply::Broken => {
                let unreachable = Finding::of(Verdict::Unreachable);
                flight.report(&unreachable, &HeaderMap::new(), Instant::now());
                // Nobody knows what it used: dropping it keeps the estimate.
                drop(flight);
                failed(account, backoff)
            }
        }
    }
}

/// Says whether what failed without a word is tried again.
fn failed(account: Option<AccountId>, backoff: &mut Backoff) -> After {
    let wait = backoff.after_failure();
    wait.map_or(After::Ends(Fate::Failed), |wait| After::Again { wait, avoid: account })
}

/// Learns from an error, and says whether it is tried again, as `proxy` does.
fn refused(
    mut flight: InFlight,
    (head, mut told): (&Head, Hint),
    account: Option<AccountId>,
    backoff: &mut Backoff,
) -> After {
    let now = Instant::now();
    let finding = classify(head.status, &head.headers, &head.error);
    told.refusal = finding.refusal;
    told.refused_by = finding.quota;
    told.is_error = true;
    told.retry_after = told.retry_after.or(finding.retry_after);
    flight.observe(&told, now);
    let change = flight.report(&finding, &head.headers, now);
    let over_limit =
        matches!(finding.verdict, Verdict::RateLimited | Verdict::SlowDown | Verdict::TooLarge);
    if over_limit {
        flight.refused(now);
    } else {
        flight.failed(now);
    }
    let again = match finding.verdict {
        Verdict::RateLimited | Verdict::SlowDown => Some((backoff.after_refusal(), None)),
        Verdict::KeyRejected | Verdict::OutOfQuota => {
            let elsewhere = matches!(change, Change::KeyOut(_) | Change::AccountOut(_));
            elsewhere.then_some((Duration::ZERO, account))
        }
        Verdict::Overloaded | Verdict::ServerError => {
            backoff.after_failure().map(|wait| (wait, account))
        }
        _ => None,
    };
    again.map_or(After::Ends(Fate::Failed), |(wait, avoid)| After::Again { wait, avoid })
}

/// How often a request failed, and how long it stays away: the rules of `proxy`, for clients without a
/// deadline.
struct Backoff {
    failures: u32,
    refusals: u32,
    dice: Dice,
}

impl Backoff {
    fn after_failure(&mut self) -> Option<Duration> {
        self.failures += 1;
        (self.failures < 4).then(|| self.jittered(self.failures))
    }

    fn after_refusal(&mut self) -> Duration {
        self.refusals += 1;
        if self.refusals == 1 { Duration::ZERO } else { self.jittered(self.refusals) }
    }

    fn jittered(&mut self, count: u32) -> Duration {
        let ceiling = Duration::from_millis(100 << count.min(6)).min(Duration::from_secs(5));
        ceiling.mul_f64(self.dice.part())
    }
}

fn ask(job: &Job) -> Ask {
    Ask {
        own_key: None,
        account: None,
        key_of: None,
        party: Party { class: job.class, weight: job.weight, ..Party::usual(job.app.clone()) },
        wanted_by: None,
        likeness: Some(job.number as u64),
        model: ModelName::new(MODEL),
        demand: Demand {
            requests: Requests::ONE,
            input: Tokens::new(job.cost.prompt),
            output_bound: job.cost.bound.map(Tokens::new),
            characters: job.cost.characters,
            images: 0,
            method: Method::Exact,
        },
        bytes: 300,
        deadline: Instant::now() + FAR,
        place: None,
        avoid: None,
        prefix: Prefix::default(),
    }
}

/// Returns the settings of one who configured nothing but what the scenario tells.
pub(crate) fn settings(scenario: &Scenario) -> Settings {
    let Settings { upstreams, line: defaults, .. } = defaults();
    let upstreams = upstreams.into_iter().map(|upstream| upstream_of(scenario, upstream));
    Settings { upstreams: upstreams.collect(), line: line(defaults), ..self::defaults() }
}

/// The settings of one who configured nothing.
fn defaults() -> Settings {
    let outside = Outside {
        env: &|_| None,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        config_dir: None,
        data_dir: Some("unused".into()),
    };
    config::load(&Flags::default(), &outside).expect("the embedded defaults").settings
}

/// A line that takes as many as come.
fn line(defaults: LineSettings) -> LineSettings {
    LineSettings {
        max_wait: FAR,
        max_waiting: 1_000_000,
        max_waiting_per_app: 1_000_000,
        max_waiting_bytes: usize::MAX / 2,
        ..defaults
    }
}

/// Clients without a deadline.
const FAR: Duration = Duration::from_secs(30 * 86_400);

fn upstream_of(scenario: &Scenario, defaults: UpstreamSettings) -> UpstreamSettings {
    UpstreamSettings {
        accounts: scenario.accounts.iter().enumerate().map(account).collect(),
        limits: Vec::new(),
        ..defaults
    }
}

fn account((number, account): (usize, &Account)) -> AccountSettings {
    let keys = account.keys.iter().map(|key| KeySettings {
        label: KeyLabel::new(format!("{number}:{}", key.secret)),
        secret: Secret::new(&*key.secret),
    });
    AccountSettings {
        name: AccountName::new(format!("account-{number}")),
        keys: keys.collect(),
        organization: None,
        project: None,
        limits: vec![LimitRule {
            models: ModelPattern::new("*"),
            shared: false,
            lane: account.told.clone(),
        }],
    }
}
