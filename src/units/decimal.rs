//! Decimal numbers in texts, read to their last digit.

/// Whether a number had to be rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Every digit had a place.
    Exact,
    /// What was behind the last place is rounded half up.
    HalfUp,
}

/// Returns a number such as `2.5e-06` times ten to the power of `zeros`; `None` if it is negative, no number or
/// too large.
pub fn scaled(number: &str, zeros: i32) -> Option<(u64, Rounding)> {
    let (digits, exponent) = match number.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{part}");
    if whole.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u128 = digits.parse().ok()?;
    let shift = exponent.checked_add(zeros)?.checked_sub(i32::try_from(part.len()).ok()?)?;
    let power = 10_u128.checked_pow(shift.unsigned_abs());
    let (value, rounding) = match (shift < 0, power) {
        (_, _) if value == 0 => (0, Rounding::Exact),
        (false, power) => (value.checked_mul(power?)?, Rounding::Exact),
        // So small that nothing is left of it.
        (true, None) => (0, Rounding::HalfUp),
        (true, Some(power)) if value.is_multiple_of(power) => (value / power, Rounding::Exact),
        (true, Some(power)) => (value.checked_add(power / 2)? / power, Rounding::HalfUp),
    };
    Some((u64::try_from(value).ok()?, rounding))
}
