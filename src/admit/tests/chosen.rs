//! Why a request goes through this lane, and with this key.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reservation_tells_why_its_account_and_its_key_were_taken() {
    let admission = admission(&[1, 2], thousand());
    let mut told = Vec::new();
    for tokens in [500, 900, 400] {
        let reservation = admission.acquire(ask(tokens)).await.expect("room");
        told.push(reservation.choice().to_string());
        drop(reservation.commit(Instant::now()));
    }
    assert_eq!(told, ["order 1/2, only 1/1", "room 1/2, order 1/2", "room 1/2, only 1/1"]);
    let waited = admission.acquire(ask(400)).await.expect("in time");
    assert_eq!(waited.choice().to_string(), "turn 1/2, only 1/1");
    let full = admission.acquire(Ask { avoid: waited.account(), ..ask(1) }).await.expect("room");
    assert_eq!(full.choice().account.to_string(), "untried 1/2");
}

#[tokio::test(start_paused = true)]
async fn a_clients_own_key_is_chosen_by_the_client() {
    let admission = admission(&[], slots(1));
    let mut ask = ask(10);
    ask.own_key = Some(client_key("sk-own"));
    let reservation = admission.acquire(ask).await.expect("room");
    assert_eq!(reservation.choice().to_string(), "own 1/1, only 1/1");
}
