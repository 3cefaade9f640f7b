//! Writes the answer of a request that was admitted, or what goes wrong with it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::config::RateHeaders;
use super::engine::{Outcome, Shown};
use super::flow::{id_of, json as json_answer, of_kind};
use super::patient::Patient;
use super::plan::{Cut, Fault, Plan};
use super::shared::{Admitted, Shared, Work};
use super::talk::{Body, Talk, broken, share_of, whole};
use super::wire::{self, Ask, Draft, Identity, Told, WireError, add_rate_limits};

/// Writes the answer to `ask`, by its plan.
///
/// # Errors
///
/// An injected reset: the connection is to be closed without an answer.
pub(super) async fn write(
    shared: &Arc<Shared>,
    (ask, draft): (Ask, Draft),
    plan: &Plan,
    (admitted, arrival): (Admitted, u64),
) -> io::Result<Response<Body>> {
    let begin = Instant::now();
    let Admitted { work, shown, organisation } = admitted;
    let desk = Desk { shared, begin, shown, organisation, id: id_of(arrival) };
    let cut = match plan.fault {
        Some(Fault::ServerError { overloaded }) => {
            sleep_until(begin + plan.pace.first).await;
            work.done(Outcome::Failed);
            let error = WireError::server_error(overloaded);
            let inside = shared.dialect.fails_inside() && !overloaded;
            return Ok(if inside { desk.fail_inside(&error, &ask) } else { desk.fail(&error) });
        }
        Some(Fault::Reset) => {
            work.done(Outcome::Failed);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(Fault::Stall) => return std::future::pending().await,
        Some(Fault::Cut(cut)) => Some(cut),
        None => None,
    };
    if ask.stream {
        let noise = shared.dialect.noise().map(|noise| noise.in_streams);
        let script = wire::script(&ask, draft);
        let talk = Talk::new(script, plan.pace, begin, work, cut)
            .with_noise(noise)
            .with_frames(shared.frames);
        return Ok(desk.stream(talk));
    }
    desk.whole((ask, draft), plan, work, cut).await
}

/// What every answer to one request shares.
pub(super) struct Desk<'a> {
    pub shared: &'a Shared,
    pub begin: Instant,
    pub shown: Vec<Shown>,
    pub organisation: Arc<str>,
    pub id: String,
}

impl Desk<'_> {
    /// Writes an answer that comes as one.
    async fn whole(
        &self,
        (ask, draft): (Ask, Draft),
        plan: &Plan,
        mut work: Work,
        cut: Option<Cut>,
    ) -> io::Result<Response<Body>> {
        let value = match wire::object(&ask, &draft) {
            Ok(value) => value,
            Err(error) => {
                work.done(Outcome::Failed);
                return Ok(self.fail(&error));
            }
        };
        let (pieces, draft) = (draft.len(), Arc::new(draft));
        work.follow_clock(self.begin, plan.pace, Arc::clone(&draft));
        if let Some(cut) = cut {
            let written = share_of(pieces, cut.share);
            sleep_until(self.begin + plan.pace.until(written)).await;
            work.done(Outcome::Cut { output: draft.tokens_of(written) });
            return Ok(self.dress(cut_off(&value, cut)));
        }
        let done = self.begin + plan.pace.until(pieces);
        let raw = wire::raw(&ask, &draft);
        let noise = self.shared.dialect.noise().and_then(|noise| noise.before_wholes);
        if let Some(noise) = noise.filter(|_| raw.is_none()) {
            let outcome = Outcome::Answered { output: draft.tokens() };
            let patient = Patient::new(noise, done, value.to_string().into(), (work, outcome));
            let mut response = Response::new(patient.boxed_unsync());
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            return Ok(self.dress(response));
        }
        sleep_until(done).await;
        work.done(Outcome::Answered { output: draft.tokens() });
        let raw = raw.map(|(kind, bytes)| of_kind(kind, bytes));
        Ok(self.dress(raw.unwrap_or_else(|| json_answer(StatusCode::OK, &value))))
    }

    /// Sends a stream.
    pub(super) fn stream(&self, talk: Talk) -> Response<Body> {
        self.events(talk.boxed_unsync())
    }

    fn events(&self, body: Body) -> Response<Body> {
        let mut response = self.dress(Response::new(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    fn fail(&self, error: &WireError) -> Response<Body> {
        let Told { status, body } = error.told(self.shared.dialect, &self.id);
        self.dress(json_answer(status, &body))
    }

    /// Tells an error in an answer whose status says that all is well.
    fn fail_inside(&self, error: &WireError, ask: &Ask) -> Response<Body> {
        let Told { mut body, .. } = error.told(self.shared.dialect, &self.id);
        if !ask.stream {
            return self.dress(json_answer(StatusCode::OK, &body));
        }
        let choice = json!({"index": 0, "delta": {"content": ""}, "finish_reason": "error"});
        wire::put(&mut body, "id", self.id.as_str());
        wire::put(&mut body, "object", "chat.completion.chunk");
        wire::put(&mut body, "model", ask.model.as_str());
        wire::put(&mut body, "choices", vec![choice]);
        let noise = self.shared.dialect.noise().map_or("", |noise| noise.in_streams);
        self.events(whole(format!("{noise}data: {body}\n\ndata: [DONE]\n\n")))
    }

    /// Adds the headers that every answer has.
    fn dress(&self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        if self.shared.headers == RateHeaders::Shown {
            add_rate_limits(headers, self.shared.dialect, &self.shown);
        }
        let processing: Duration = self.begin.elapsed();
        let identity =
            Identity { id: &self.id, organisation: Some(&self.organisation), processing };
        identity.add_to(headers, self.shared.dialect);
        response
    }
}

/// Returns an answer whose body ends before its stated length.
fn cut_off(value: &Value, cut: Cut) -> Response<Body> {
    let bytes = Bytes::from(value.to_string());
    let keep = usize::try_from(share_of(bytes.len() as u64, cut.share)).unwrap_or(0);
    let mut response = Response::new(broken(bytes.slice(..keep.min(bytes.len())), cut));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    response
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
