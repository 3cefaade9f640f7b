//! What is thought before an answer, where that is told.

use serde_json::Value;

use super::ask::{Ask, text_of};
use super::endpoint::Endpoint;
use super::words::{Text, mix};

/// Returns what is thought before an answer of `spoken` tokens, where it is asked for and the bound leaves room
/// for it.
pub(super) fn thought(ask: &Ask, spoken: u64) -> Option<Text> {
    let budget = budget(ask)?;
    let room = ask.bound.unwrap_or(u64::MAX).saturating_sub(spoken);
    let seed = mix(!ask.prompt.digest);
    let count = (SHORTEST + seed % spoken.max(LONGER)).min(budget).min(room);
    (count > 0).then_some(Text::Words { seed, count })
}

/// Returns how long it may be; `None` where nothing of it is told.
fn budget(ask: &Ask) -> Option<u64> {
    match ask.endpoint {
        Endpoint::Messages => {
            let thinking = ask.body.get("thinking")?;
            let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
            (text_of(thinking, "type") == Some("enabled")).then(|| budget.unwrap_or(u64::MAX))
        }
        // OpenAI tells a summary of it to who asks for one.
        Endpoint::Responses => {
            text_of(ask.body.get("reasoning")?, "summary").map(|_summary| u64::MAX)
        }
        Endpoint::Chat => ask.thinks_as.map(|_name| u64::MAX),
        _ => None,
    }
}

/// The shortest thought, in tokens, and by how many it may be longer before a short answer.
const SHORTEST: u64 = 8;
const LONGER: u64 = 32;
