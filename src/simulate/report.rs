//! The statistics as JSON.

use serde_json::{Value, json};

use super::engine::{LaneStats, Stats};

/// Returns `stats` as `GET /sim/stats` shows them.
pub(super) fn json(stats: &Stats) -> Value {
    let total = |count: fn(&LaneStats) -> u64| stats.lanes.iter().map(count).sum::<u64>();
    json!({
        "elapsed_ms": u64::try_from(stats.elapsed.as_millis()).unwrap_or(u64::MAX),
        "denied": {
            "invalid_key": stats.denied.invalid_key,
            "insufficient_quota": stats.denied.out_of_quota,
            "model_not_found": stats.denied.no_model,
        },
        "oracle_waiting": stats.oracle_waiting,
        "totals": {
            "admitted": total(|lane| lane.tally.admitted),
            "refused": total(|lane| lane.tally.refused.total()),
            "in_flight": total(|lane| lane.in_flight),
            "answered": total(|lane| lane.tally.answered),
            "prompt_tokens": total(|lane| lane.tally.prompt),
            "completion_tokens": total(|lane| lane.tally.output),
            "total_tokens": total(|lane| lane.tally.prompt + lane.tally.output),
            "cut": total(|lane| lane.tally.cut),
            "cut_prompt_tokens": total(|lane| lane.tally.cut_prompt),
            "cut_completion_tokens": total(|lane| lane.tally.cut_output),
            "failed": total(|lane| lane.tally.failed),
        },
        "lanes": stats.lanes.iter().map(lane).collect::<Vec<_>>(),
    })
}

fn lane(lane: &LaneStats) -> Value {
    let tally = &lane.tally;
    let refused = &tally.refused;
    let meters = lane.meters.iter().map(|meter| {
        let shown = meter.reading;
        json!({
            "metric": meter.metric.name(),
            "limit": shown.limit,
            "window_ms": u64::try_from(shown.window.as_millis()).unwrap_or(u64::MAX),
            "level_at_start": shown.level_at_start,
            "level": shown.level,
            "refill": shown.refill,
            "cut_off": shown.cut_off,
            "charged": shown.charged,
            "most_used": shown.most_used,
        })
    });
    let seconds = tally.seconds.iter().map(|second| {
        json!({
            "second": second.second,
            "admitted": second.admitted,
            "refused": second.refused,
            "ended": second.ended,
            "charged": second.charged,
            "output": second.output,
        })
    });
    json!({
        "organisation": *lane.organisation,
        "model": *lane.lane,
        "in_flight": lane.in_flight,
        "held": lane.held,
        "admitted": tally.admitted,
        "refused": {
            "total": refused.total(),
            "requests_per_minute": refused.requests_per_minute,
            "requests_per_day": refused.requests_per_day,
            "tokens_per_minute": refused.tokens_per_minute,
            "tokens_per_day": refused.tokens_per_day,
            "input_tokens_per_minute": refused.input_per_minute,
            "output_tokens_per_minute": refused.output_per_minute,
            "slice": refused.slice,
            "concurrency": refused.concurrency,
            "too_large": refused.too_large,
        },
        "answered": tally.answered,
        "prompt_tokens": tally.prompt,
        "completion_tokens": tally.output,
        "cut": tally.cut,
        "cut_prompt_tokens": tally.cut_prompt,
        "cut_completion_tokens": tally.cut_output,
        "failed": tally.failed,
        "foreign": {
            "admitted": tally.foreign_admitted,
            "refused": tally.foreign_refused,
            "tokens": tally.foreign_tokens,
        },
        "meters": meters.collect::<Vec<_>>(),
        "seconds": seconds.collect::<Vec<_>>(),
    })
}
