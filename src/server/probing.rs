//! Tries keys again that were taken out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::proxy::Site;
use crate::upstream::{Credential, Finding, KeyId, Verdict, probe};

/// Probes each key of `site` that is due until `stop` says so. A probe that hangs holds up no other.
pub(super) async fn run(site: Arc<Site>, mut stop: watch::Receiver<bool>) {
    let mut probes = JoinSet::new();
    loop {
        let now = Instant::now();
        let next = site.admission().with_fleet(|fleet| fleet.next_probe_at());
        let until = next.unwrap_or(now + LOOK).clamp(now, now + LOOK);
        tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => return,
            Some(_probed) = probes.join_next() => {}
            () = sleep_until(until) => {}
        }
        let due = site.admission().with_fleet(|fleet| fleet.probes_due(Instant::now()));
        for (key, credential) in due {
            probes.spawn(try_again(Arc::clone(&site), key, credential));
        }
    }
}

async fn try_again(site: Arc<Site>, key: KeyId, credential: Credential) {
    let probed = timeout(PATIENCE, probe(site.client(), site.address(), &credential)).await;
    let finding = probed.unwrap_or(Finding::of(Verdict::Unreachable));
    let verdict = finding.verdict;
    let change = site
        .admission()
        .with_fleet(|fleet| fleet.probed(key, &finding, Instant::now(), rand::random()));
    let (upstream, key) = (site.name().as_str(), credential.label.as_str());
    // Those who should know are told what it changes.
    tracing::debug!(upstream, key, ?verdict, ?change, "key probed");
}

/// How long a list of models may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long after a key went out its probe may be noticed: less than the shortest wait for one.
const LOOK: Duration = Duration::from_secs(5);
