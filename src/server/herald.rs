//! Tells others of budgets that warn: an address on the net, and a program on this machine.

use std::process::Stdio;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Uri, header};
use jiff::Timestamp;
use serde::Serialize;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::budget::Alarm;
use crate::upstream::{Body, Client};

/// Tells of each alarm, one after the other, until nobody can send one any more. What cannot be told is logged.
///
/// Dropping the future leaves out what was not told yet; the log has it.
pub(super) async fn run(mut alarms: mpsc::Receiver<Alarm>, client: Client) {
    while let Some(alarm) = alarms.recv().await {
        let words = Words::of(&alarm);
        tokio::join!(post(&client, &alarm, &words), execute(&alarm, &words));
    }
}

/// An alarm in words.
#[derive(Debug, Serialize)]
struct Words {
    text: String,
    budget: String,
    color: &'static str,
    booked_usd: String,
    amount_usd: String,
    until: Option<String>,
}

impl Words {
    fn of(alarm: &Alarm) -> Self {
        let (budget, color) = (alarm.budget.to_string(), alarm.color.label());
        let (booked_usd, amount_usd) = (alarm.booked.exact(), alarm.amount.exact());
        let date = |until: Duration| {
            Timestamp::from_second(i64::try_from(until.as_secs()).ok()?)
                .ok()
                .map(|it| it.to_string())
        };
        let until = alarm.until.and_then(date);
        let end = until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
        let text = format!(
            "sluicegate: the budget {budget} is {color}: {booked_usd} of {amount_usd} USD are spent{end}"
        );
        Self { text, budget, color, booked_usd, amount_usd, until }
    }
}

/// Sends it to the address, again where that fails.
async fn post(client: &Client, alarm: &Alarm, words: &Words) {
    let Some(webhook) = &alarm.listeners.webhook else { return };
    // Plain texts cannot fail to be written.
    let body = serde_json::to_vec(words).unwrap_or_default();
    // It was read when the configuration was.
    let uri: Uri = webhook.expose().parse().unwrap_or_default();
    let mut why = String::new();
    for pause in PAUSES {
        sleep(pause).await;
        let mut request = Request::new(Body::full(body.clone().into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        match timeout(PATIENCE, client.send(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => return,
            Ok(Ok(answer)) => why = format!("it answers with {}", answer.status()),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => "it does not answer".clone_into(&mut why),
        }
    }
    // Its address may hold a password.
    tracing::warn!(budget = words.budget, why, "a budget's webhook could not be told");
}

/// Runs the program.
async fn execute(alarm: &Alarm, words: &Words) {
    let Some((program, arguments)) = alarm.listeners.command.split_first() else { return };
    let mut command = Command::new(&**program);
    command
        .args(arguments.iter().map(|argument| &**argument))
        .env("SLUICEGATE_BUDGET", &words.budget)
        .env("SLUICEGATE_COLOR", words.color)
        .env("SLUICEGATE_BOOKED_USD", &words.booked_usd)
        .env("SLUICEGATE_AMOUNT_USD", &words.amount_usd)
        .env("SLUICEGATE_UNTIL", words.until.as_deref().unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let why = match timeout(LONGEST_RUN, command.status()).await {
        Ok(Ok(status)) if status.success() => return,
        Ok(Ok(status)) => format!("it ended with {status}"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was ended after {} s", LONGEST_RUN.as_secs()),
    };
    tracing::warn!(budget = words.budget, %program, why, "a budget's command failed");
}

/// How long is waited before each try.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a program may run.
const LONGEST_RUN: Duration = Duration::from_secs(30);
/// So many alarms may wait to be told.
pub(super) const MOST_WAITING: usize = 64;
