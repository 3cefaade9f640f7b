//! Numbers as people read them.

pub(super) use crate::report::grouped;

/// Writes a share as a percentage with one digit behind the point, never rounded up to a whole that
/// it is not.
pub(super) fn percent(share: f64) -> String {
    let tenths = (share * 1000.0 + 1e-9).floor() / 10.0;
    format!("{tenths:.1} %")
}

/// Writes a time in milliseconds as seconds: `0.42 s`.
pub(super) fn seconds(millis: u64) -> String {
    format!("{}.{:02} s", millis / 1000, millis % 1000 / 10)
}

/// Returns `part / whole`, and 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people; counts stay far below 2^52")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_not_rounded_up() {
        assert_eq!(
            (percent(0.94999), percent(0.95), percent(1.0)),
            ("94.9 %".into(), "95.0 %".into(), "100.0 %".into())
        );
    }
}
