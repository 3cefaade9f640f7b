//! Tries keys again that were taken out.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::proxy::Proxy;
use crate::upstream::probe;

/// Probes each key that is due, one after the other, until `stop` says so.
pub(super) async fn run(proxy: Proxy, mut stop: watch::Receiver<bool>) {
    loop {
        let now = Instant::now();
        let next = proxy.admission().with_fleet(|fleet| fleet.next_probe_at());
        let until = next.unwrap_or(now + LOOK).clamp(now, now + LOOK);
        tokio::select! {
            _stopped = stop.wait_for(|stop| *stop) => return,
            () = sleep_until(until) => {}
        }
        let due = proxy.admission().with_fleet(|fleet| fleet.probes_due(Instant::now()));
        for (key, credential) in due {
            let base = &proxy.upstream().base_url;
            let finding = probe(proxy.client(), base, &credential).await;
            let change = proxy.admission().with_fleet(|fleet| {
                fleet.probed(key, finding.verdict, Instant::now(), rand::random())
            });
            tracing::info!(key = credential.label.as_str(), verdict = ?finding.verdict, ?change, "key probed");
        }
    }
}

/// How long after a key went out its probe may be noticed: less than the shortest wait for one.
const LOOK: Duration = Duration::from_secs(5);
