//! Sets the stage: the simulated provider, and the proxy before it, with the same limits.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{self, FileText, Flags, Outside, Settings, UpstreamSettings};
use crate::limit::{Charging, Counting, Estimator, LaneSettings};
use crate::server::{self, Running};
use crate::simulate::engine::{self, Key, LimitRule, Limits, Organisation, Rules, Stats};
use crate::simulate::{Config, Latency, Outputs, Provider};
use crate::upstream::NetworkEnvironment;

use super::DemoError;
use super::worker::{Crew, Final};

/// Accounts, keys and limits of the demo.
const CONFIGURATION: &str = include_str!("../../config/demo.toml");

/// How long answers are: as long as those of chats, cut where a request bounds them.
const OUTPUTS: Outputs = Outputs { mean: 150.0, sigma: 0.6 };

/// How fast they come: as from a small model.
const LATENCY: Latency = Latency {
    first_token: Duration::from_millis(300),
    per_token: Duration::from_millis(8),
    jitter: 0.2,
};

/// The running parts.
#[derive(Debug)]
pub(super) struct Stage {
    provider: Provider,
    running: Running,
}

/// What both sides have counted when all is over.
#[derive(Debug)]
pub(super) struct Accounts {
    /// The provider, over its own statistics page.
    pub(super) provider: Final,
    /// Tokens of settled debits.
    pub(super) settled: u64,
    /// Input tokens as counted before sending.
    pub(super) counted: u64,
    /// What it would have cost, in dollars.
    pub(super) cost: String,
}

impl Stage {
    /// Starts both on free ports of 127.0.0.1.
    pub(super) async fn set(seed: u64) -> Result<Self, DemoError> {
        let draft = settings("http://127.0.0.1:9/v1")?;
        let organisations = draft.upstreams.iter().flat_map(organisations).collect();
        let provider = Provider::bind(Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            rules: Rules { organisations, ..Rules::default() },
            outputs: OUTPUTS,
            latency: LATENCY,
            seed,
            ..Config::default()
        });
        let provider = provider.await.map_err(DemoError::Provider)?;
        let settings = settings(&provider.base_url())?;
        // Loopback only: what the environment says of forward proxies is of no use here.
        let running = server::start(settings, NetworkEnvironment::default()).await?;
        Ok(Self { provider, running })
    }

    /// Returns what stands before `/chat/completions` for the apps.
    pub(super) fn proxy_url(&self) -> String {
        format!("http://{}/v1", self.running.listen())
    }

    /// Returns what the provider has counted so far.
    pub(super) fn stats(&self) -> Stats {
        self.provider.stats()
    }

    /// Returns for which models how many requests wait.
    pub(super) fn waiting(&self) -> Vec<(String, usize)> {
        let lines = self.running.proxy().admission().snapshot().lines;
        lines.into_iter().map(|line| (line.model.as_str().to_owned(), line.waiting)).collect()
    }

    /// Returns the tokens settled so far by the proxy, and their cost in dollars.
    pub(super) fn settled(&self) -> (u64, String) {
        let totals = self.running.proxy().metrics().totals();
        (totals.settled.count(), totals.cost.to_string())
    }

    /// Lets the proxy drain, and returns what both sides have counted.
    pub(super) async fn close(self, crew: &Crew) -> Result<Accounts, DemoError> {
        let proxy = self.running.proxy().clone();
        // What could still be open was not asked for by this crew.
        let _open = self.running.stop().await;
        let provider = crew.final_stats(self.provider.addr()).await?;
        let totals = proxy.metrics().totals();
        Ok(Accounts {
            provider,
            settled: totals.settled.count(),
            counted: totals.counted.count(),
            cost: totals.cost.to_string(),
        })
    }
}

/// Returns the settings of a proxy before `upstream`, free of this machine's files and environment.
fn settings(upstream: &str) -> Result<Settings, DemoError> {
    let any_port = Some("127.0.0.1:0".to_owned());
    let flags = Flags {
        listen: any_port.clone(),
        admin: any_port,
        upstream: Some(upstream.to_owned()),
        config: Some(PathBuf::from("config/demo.toml")),
        data_dir: Some(String::new()),
        ..Flags::default()
    };
    let outside = Outside {
        env: &|_| None,
        read: &|_| -> io::Result<FileText> {
            Ok(FileText { text: CONFIGURATION.to_owned(), open_to_others: false })
        },
        config_dir: None,
        data_dir: None,
    };
    Ok(config::load(&flags, &outside)?.settings)
}

/// Returns the accounts as the provider knows them.
fn organisations(upstream: &UpstreamSettings) -> Vec<Organisation> {
    let organisation = |account: &config::AccountSettings| Organisation {
        name: account.name.as_str().into(),
        keys: account.keys.iter().map(|key| Key::valid(key.secret.expose())).collect(),
        rules: account.limits.iter().chain(&upstream.limits).map(rule).collect(),
    };
    upstream.accounts.iter().map(organisation).collect()
}

fn rule(rule: &config::LimitRule) -> LimitRule {
    LimitRule {
        models: rule.models.as_str().to_owned(),
        shared: rule.shared,
        limits: limits(&rule.lane),
    }
}

/// Translates what the proxy believes of a lane into what the provider enforces.
fn limits(lane: &LaneSettings) -> Limits {
    Limits {
        requests_per_minute: lane.requests_per_minute,
        tokens_per_minute: lane.tokens_per_minute,
        requests_per_day: lane.requests_per_day,
        tokens_per_day: lane.tokens_per_day,
        minute: lane.minute,
        counting: match lane.counting.unwrap_or_default() {
            Counting::Bucket => engine::Counting::Bucket,
            Counting::Sliding => engine::Counting::Sliding,
            Counting::Fixed => engine::Counting::Calendar,
        },
        charging: match lane.charging.unwrap_or_default() {
            Charging::Max => engine::Charging::Max,
            Charging::Refund => engine::Charging::Refund,
            Charging::Later => engine::Charging::Later,
            Charging::Split => engine::Charging::Split,
        },
        estimator: match lane.estimator.unwrap_or_default() {
            Estimator::Tokens => engine::Estimator::Tokens,
            Estimator::Chars4 => engine::Estimator::Chars4,
            Estimator::Max => engine::Estimator::Max,
        },
        ..Limits::default()
    }
}
