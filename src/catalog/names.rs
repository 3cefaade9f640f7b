//! How the names of models are related.

/// Returns the beginnings of a name that end before a dash, longest first, each with what follows
/// the dash.
pub(super) fn beginnings(model: &str) -> impl Iterator<Item = (&str, &str)> {
    model.rmatch_indices('-').filter_map(|(at, _)| Some((model.get(..at)?, model.get(at + 1..)?)))
}

/// Returns the names of which `model` is a dated edition, or the `latest`; longest first.
pub(super) fn editions_of(model: &str) -> impl Iterator<Item = &str> {
    beginnings(model).filter(|(_, end)| is_edition(end)).map(|(name, _)| name)
}

/// Returns `ft:BASE` of the name of a tuned model, `ft:BASE:org:name:id`; `None` for any other.
pub(super) fn tuned_base(model: &str) -> Option<&str> {
    let tuned = model.strip_prefix("ft:")?;
    let base = tuned.split(':').next().unwrap_or(tuned);
    model.get(..base.len() + "ft:".len())
}

/// Returns whether a name's end tells an edition: a date, or `latest`.
fn is_edition(end: &str) -> bool {
    let dated = end.len() >= 4 && end.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    dated || end == "latest"
}
