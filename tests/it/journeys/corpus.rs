//! Everything that the four platforms are known to send.
//!
//! The corpus is other people's and is read where it lies. A payload is signed as it is and must be taken; it is then
//! sent once more with the account of a registered business in it, so that it gets further than the door.

use std::fs;
use std::path::{Path, PathBuf};

use domain::request::Closing;
use serde_json::Value;
use tests::harness::{APP, APP_SECRET, BOT_SECRET, Client, DELETE, Person, Router, Sent, provider};
use tests::on_both;

const CHANNELS: [&str; 4] = ["whatsapp", "messenger", "instagram", "telegram"];

async fn every_known_payload_is_taken(router: &Router) {
    let client = router.client("everybody").await;
    for channel in CHANNELS {
        let files = payloads(channel);
        for file in &files {
            let body = fs::read(file).expect("a payload can be read");
            let ours = at_ours(&client, channel, &body);
            for body in [Some(body), ours].into_iter().flatten() {
                let answer = router.deliver(&sign(&client, channel, body)).await;
                assert_eq!(answer.status, 200, "{}: {answer:?}", file.display());
            }
        }
        eprintln!("{channel}: {} payloads", files.len());
    }
    // Nothing stands half-done: whatever was made of them is planned like everything else, and the next one too.
    for made in client.requests().await {
        router.case(made.id).logged("intake").await;
    }
    let last = client.hears(&client.whatsapp(&Person::new(), DELETE)).await;
    last.await_closed(Closing::Fulfilled).await;
}

fn payloads(channel: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/vectors/providers")
        .join(channel);
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("the corpus is not beside this clone: {channel} is tried with our own messages only");
        return vec![];
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "json"));
    files.sort();
    files
}

fn sign(client: &Client<'_>, channel: &str, body: Vec<u8>) -> Sent {
    if channel == "telegram" {
        let mut sent = provider::telegram(BOT_SECRET, &client.accounts.telegram, &Value::Null);
        sent.body = body;
        return sent;
    }
    provider::meta(channel, APP, APP_SECRET, body)
}

/// The payload with our business's account, where it names one.
fn at_ours(client: &Client<'_>, channel: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    for entry in value.get_mut("entry")?.as_array_mut()? {
        match channel {
            "whatsapp" => {
                for change in entry["changes"].as_array_mut()? {
                    change["value"]["metadata"]["phone_number_id"] = client.accounts.whatsapp.as_str().into();
                }
            }
            "messenger" => entry["id"] = client.accounts.messenger.as_str().into(),
            _ => entry["id"] = client.accounts.instagram.as_str().into(),
        }
    }
    Some(provider::ascii(&value))
}

on_both!(every_known_payload_is_taken);
