//! What a client says of its request in headers of ours, none of which goes upstream.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName};
use thiserror::Error;
use tokio::time::Instant;

use super::answer::OWN;
use crate::clock::WallClock;
use crate::units::{AccountName, Class};

/// What a client wishes for its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wishes {
    /// How urgent it says that the request is.
    pub(super) class: Option<Class>,
    /// When it needs its turn; later it is of no use.
    pub(super) deadline: Option<Instant>,
    /// Whether its stream is to be kept alive while it waits, if it says so.
    pub(super) keep_alive: Option<KeepAlive>,
}

/// Whether a stream is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepAlive {
    /// It waits in silence.
    Off,
    /// It gets comments, so far apart.
    Every(Duration),
}

/// Why a header of ours cannot be understood; answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WishError {
    /// There is no such class.
    #[error("the header `x-sluicegate-class` must be `interactive`, `standard` or `batch`")]
    Class,
    /// It is no time.
    #[error(
        "the header `x-sluicegate-deadline` must be a number of seconds from now, such as `30`, or a time \
         such as `2026-11-22T18:00:00Z`, within a year"
    )]
    Deadline,
    /// It has come already.
    #[error("the time in the header `x-sluicegate-deadline` has passed")]
    Past,
    /// There is no such account.
    #[error("the header `x-sluicegate-account` must be the name of an account that is configured")]
    Account,
    /// The client may not choose.
    #[error(
        "the header `x-sluicegate-account` is for apps with `choose_account = true`, and this one has not"
    )]
    AccountNotYours,
    /// It is no pace.
    #[error(
        "the header `x-sluicegate-keep-alive` must be `off` or a number of seconds from 1 to 300"
    )]
    KeepAlive,
}

impl WishError {
    /// Returns the header at fault, for the `param` of the answer.
    pub const fn param(self) -> &'static str {
        match self {
            Self::Class => "x-sluicegate-class",
            Self::Deadline | Self::Past => "x-sluicegate-deadline",
            Self::Account | Self::AccountNotYours => "x-sluicegate-account",
            Self::KeepAlive => "x-sluicegate-keep-alive",
        }
    }
}

impl Wishes {
    /// Reads what `headers` say at `now`.
    pub(super) fn read(
        headers: &HeaderMap,
        clock: &WallClock,
        now: Instant,
    ) -> Result<Self, WishError> {
        let class = text(headers, &CLASS, WishError::Class)?;
        let class =
            class.map(|text| Class::from_label(text).ok_or(WishError::Class)).transpose()?;
        let deadline = text(headers, &DEADLINE, WishError::Deadline)?;
        let left = deadline.map(|text| time_left(text, clock.since_epoch(now))).transpose()?;
        let keep_alive = text(headers, &KEEP_ALIVE, WishError::KeepAlive)?;
        let keep_alive = keep_alive.map(pace).transpose()?;
        Ok(Self { class, deadline: left.map(|left| now + left), keep_alive })
    }
}

/// Returns the account that a client asks for.
pub(super) fn account(headers: &HeaderMap) -> Result<Option<AccountName>, WishError> {
    Ok(text(headers, &OWN.account, WishError::Account)?.map(AccountName::new))
}

fn text<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    error: WishError,
) -> Result<Option<&'h str>, WishError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    // Of two, nobody can tell which one is meant.
    let only = if values.next().is_none() { value.to_str().ok() } else { None };
    only.map(str::trim).map(Some).ok_or(error)
}

/// Reads how a stream is to be kept alive.
fn pace(text: &str) -> Result<KeepAlive, WishError> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(KeepAlive::Off);
    }
    let seconds = text.parse::<f64>().ok().filter(|seconds| (1.0..=300.0).contains(seconds));
    let pace = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    pace.map(KeepAlive::Every).ok_or(WishError::KeepAlive)
}

/// Returns how long it is from now (`since_epoch`) to a deadline: seconds from now, or a time of
/// RFC 3339.
fn time_left(text: &str, since_epoch: Duration) -> Result<Duration, WishError> {
    let left = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_nan() => return Err(WishError::Deadline),
        Ok(seconds) if seconds <= 0.0 => return Err(WishError::Past),
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| WishError::Deadline)?,
        Err(_) => rfc3339(text).ok_or(WishError::Deadline)?.saturating_sub(since_epoch),
    };
    match left {
        Duration::ZERO => Err(WishError::Past),
        left if left <= FARTHEST => Ok(left),
        _ => Err(WishError::Deadline),
    }
}

/// Reads a time of RFC 3339, such as `2026-11-22T18:00:00Z` or `2026-11-22T19:00:00.5+01:00`, as the
/// time since 1970.
fn rfc3339(text: &str) -> Option<Duration> {
    let utc = |text: &str| humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok();
    if text.ends_with('Z') {
        return utc(text);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let two_digits = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u64>().ok() } else { None }
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let (local, offset) =
        (utc(&format!("{local}Z"))?, Duration::from_secs(hours * 3600 + minutes * 60));
    match sign {
        // East of Greenwich the clocks are ahead.
        "+" => local.checked_sub(offset),
        "-" => local.checked_add(offset),
        _ => None,
    }
}

const CLASS: HeaderName = HeaderName::from_static("x-sluicegate-class");
const DEADLINE: HeaderName = HeaderName::from_static("x-sluicegate-deadline");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("x-sluicegate-keep-alive");

/// A deadline farther away is a mistake.
const FARTHEST: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T12:00:00Z.
    const NOON: u64 = 1_795_348_800;

    fn read(name: HeaderName, text: &str) -> Result<Wishes, WishError> {
        let now = Instant::now();
        let clock = WallClock::anchored(now, Duration::from_secs(NOON));
        let headers = HeaderMap::from_iter([(name, text.parse().expect("a header value"))]);
        Wishes::read(&headers, &clock, now)
    }

    #[test]
    fn a_deadline_is_a_number_of_seconds_or_a_time() {
        let (nonsense, past) = (Err(WishError::Deadline), Err(WishError::Past));
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("30", Ok(30_000)),                                ("2.5", Ok(2_500)),
            (" 30 ", Ok(30_000)),                              ("2026-11-22T12:00:30Z", Ok(30_000)),
            ("2026-11-22T12:00:30.25Z", Ok(30_250)),           ("2026-11-22T13:00:30+01:00", Ok(30_000)),
            ("2026-11-22T06:30:30-05:30", Ok(30_000)),         ("2026-11-22T12:00:30+00:00", Ok(30_000)),
            ("0", past),                                       ("-1", past),
            ("1e-300", past),                                  ("-0", past),
            ("2026-11-22T12:00:00Z", past),                    ("2026-11-22T12:00:30+00:01", past),
            ("soon", nonsense),                                ("", nonsense),
            ("NaN", nonsense),                                 ("inf", nonsense),
            ("40000000", nonsense),                            ("2028-11-22T12:00:00Z", nonsense),
            ("2026-11-22", nonsense),                          ("2026-11-22T12:00:30", nonsense),
            ("2026-11-22T12:00:30+1:00", nonsense),            ("2026-13-22T12:00:30Z", nonsense),
            ("2026-11-22T12:00:30+24:00", nonsense),           ("2026-11-22T12:00:30*01:00", nonsense),
        ];
        for (text, expected) in cases {
            let now = Instant::now();
            let found = read(DEADLINE, text).map(|wishes| {
                wishes.deadline.expect("a deadline").saturating_duration_since(now).as_millis()
            });
            // The instant of the reading is a little after ours.
            let near = |found: u128, expected: u128| (expected..expected + 1_000).contains(&found);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert!(near(found, expected), "{text}: {found}"),
                (found, expected) => assert_eq!(found, expected, "{text}"),
            }
        }
    }

    #[test]
    fn a_stream_is_kept_alive_at_a_pace_or_not_at_all() {
        let every = |millis| Ok(Some(KeepAlive::Every(Duration::from_millis(millis))));
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            ("15", every(15_000)), ("1.5", every(1_500)), ("0.9", Err(WishError::KeepAlive)), ("off", Ok(Some(KeepAlive::Off))), ("OFF", Ok(Some(KeepAlive::Off))),
            ("0", Err(WishError::KeepAlive)), ("-1", Err(WishError::KeepAlive)), ("301", Err(WishError::KeepAlive)),
            ("yes", Err(WishError::KeepAlive)), ("", Err(WishError::KeepAlive)), ("NaN", Err(WishError::KeepAlive)),
        ];
        for (text, expected) in cases {
            assert_eq!(read(KEEP_ALIVE, text).map(|wishes| wishes.keep_alive), expected, "{text}");
        }
    }

    #[test]
    fn a_class_is_one_of_three_words() {
        for class in Class::ALL {
            let shouted = class.label().to_ascii_uppercase();
            assert_eq!(read(CLASS, &shouted).expect("a class").class, Some(class));
        }
        assert_eq!(read(CLASS, "urgent"), Err(WishError::Class));
        assert_eq!(read(CLASS, ""), Err(WishError::Class));
        let now = Instant::now();
        let clock = WallClock::anchored(now, Duration::ZERO);
        let strange = http::HeaderValue::from_bytes(&[0xff]).expect("a header value");
        let headers = HeaderMap::from_iter([(CLASS, strange)]);
        assert_eq!(Wishes::read(&headers, &clock, now), Err(WishError::Class));
        assert_eq!(Wishes::read(&HeaderMap::new(), &clock, now), Ok(Wishes::default()));
    }

    #[test]
    fn of_two_wishes_neither_is_taken() {
        #[rustfmt::skip] // One case a line: the table is read by columns.
        let cases = [
            (CLASS, ["batch", "interactive"], WishError::Class),
            (DEADLINE, ["30", "60"],          WishError::Deadline),
            (KEEP_ALIVE, ["off", "15"],       WishError::KeepAlive),
        ];
        for (name, values, error) in cases {
            let now = Instant::now();
            let clock = WallClock::anchored(now, Duration::ZERO);
            let headers: HeaderMap = values
                .iter()
                .map(|value| (name.clone(), http::HeaderValue::from_static(value)))
                .collect();
            assert_eq!(headers.get_all(&name).iter().count(), 2);
            assert_eq!(Wishes::read(&headers, &clock, now), Err(error), "{name}");
        }
    }
}
