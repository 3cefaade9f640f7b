//! Tells the client of a stream that its request still waits, for who asked to be told.

use std::time::Duration;

use http::{HeaderValue, Response, header};
use tokio::time::timeout;

use super::Proxy;
use super::answer::identify;
use super::errand::Errand;
use super::patience::silence;
use super::visit::Visit;
use super::wishes::KeepAlive;
use crate::admit::{Entered, Refusal, Reservation, Waiting, Whereabouts};
use crate::call::{Delivery, Endpoint};
use crate::relay::{Body, Notes};

/// How a request leaves notes for its client while it is served.
#[derive(Debug)]
pub(super) struct Pulse {
    pace: Duration,
    notes: Notes,
    /// Whether the head of the answer has left with a first note.
    has_spoken: bool,
}

impl Pulse {
    pub(super) fn new(pace: Duration) -> Self {
        Self { pace, notes: Notes::default(), has_spoken: false }
    }

    pub(super) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// Waits in line, and tells the place again and again.
    pub(super) async fn wait(&mut self, waiting: &mut Waiting) -> Result<Reservation, Refusal> {
        loop {
            if let Ok(outcome) = timeout(self.pace, waiting.outcome()).await {
                return outcome;
            }
            if let Some(place) = waiting.whereabouts() {
                self.say(&queued(place));
            }
        }
    }

    /// Waits for the provider; tells so only who was told before that it waits.
    pub(super) async fn sent<T>(&mut self, answer: impl Future<Output = T>) -> T {
        let mut answer = std::pin::pin!(answer);
        loop {
            if let Ok(answer) = timeout(self.pace, answer.as_mut()).await {
                return answer;
            }
            if self.has_spoken {
                self.say("sent");
            }
        }
    }

    fn say(&mut self, comment: &str) {
        self.has_spoken = true;
        self.notes.leave(comment);
    }
}

/// Waits in line where `entered` has to, with notes for the client where it gets some.
pub(super) async fn admitted(
    entered: Result<Entered, Refusal>,
    pulse: Option<&mut Pulse>,
) -> Result<Reservation, Refusal> {
    match (entered?, pulse) {
        (Entered::Granted(reservation), _) => Ok(reservation),
        (Entered::Waiting(mut waiting), pulse) => waited(&mut waiting, pulse).await,
    }
}

/// Waits for the turn of one who is in line, with notes for the client where it gets some. Dropping the
/// future keeps the place.
pub(super) async fn waited(
    waiting: &mut Waiting,
    pulse: Option<&mut Pulse>,
) -> Result<Reservation, Refusal> {
    match pulse {
        Some(pulse) => pulse.wait(waiting).await,
        None => waiting.outcome().await,
    }
}

/// A client with less patience than twice this gets no note in time.
const FASTEST: Duration = Duration::from_millis(50);

fn queued(Whereabouts { ahead, expected }: Whereabouts) -> String {
    let seconds = expected.as_millis().div_ceil(1000);
    format!("queued position={} eta={seconds}s", ahead.saturating_add(1))
}

impl Proxy {
    /// Returns how far apart the notes for the client are, and for what endpoint; `None` where it gets
    /// none.
    pub(super) fn keep_alive(
        &self,
        visit: &Visit,
        errand: &Errand,
    ) -> Option<(Duration, Endpoint)> {
        let call = errand.call()?;
        let streams = matches!(call.delivery, Delivery::Stream { .. });
        if !streams {
            return None;
        }
        let pace = match visit.wishes.keep_alive {
            Some(KeepAlive::Off) => return None,
            Some(KeepAlive::Every(pace)) => pace,
            None => self.terms().settings.line.keep_alive?,
        };
        // A client that gives up before the first note would not hear it.
        let heard = (silence(&visit.head.headers) / 2).max(FASTEST);
        Some((pace.min(heard), call.endpoint))
    }

    /// Gives a stream that is kept alive its head.
    pub(super) fn kept_alive(&self, visit: &Visit, body: Body) -> Response<Body> {
        let books = self.books(&visit.record);
        books.metrics.kept_alive(&books.series);
        let mut answer = Response::new(body);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // Else some proxies would gather the comments.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        identify(headers, &visit.record.id);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_from_one_and_its_time_rounded_up() {
        let told =
            |ahead, millis| queued(Whereabouts { ahead, expected: Duration::from_millis(millis) });
        assert_eq!(told(2, 11_001), "queued position=3 eta=12s");
        assert_eq!(told(0, 0), "queued position=1 eta=0s");
    }
}
