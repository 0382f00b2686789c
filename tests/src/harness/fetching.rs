//! A client business that nobody can reach from outside: its system fetches its tasks.

use domain::id::SystemId;
use platform::chance::SystemRng;
use platform::clock::{Clock as _, SystemClock};
use platform::secret::{Secret, digest, random_token};
use serde_json::Value;
use store::tokens::{self, Role, Token, TokenScope};

use super::client::Client;
use super::router::Answer;
use super::tap::Heard;

/// A business with one system, and its system's token.
pub struct Fetching<'r> {
    /// The business.
    pub client: Client<'r>,
    /// Its system.
    pub system: SystemId,
    /// What the system calls with.
    pub token: Secret,
}

impl<'r> Fetching<'r> {
    /// Gives the system of a registered business its token.
    pub(super) async fn of(client: Client<'r>) -> Self {
        let directory = client.router.running().directories[0].current();
        let systems = directory.systems_of(client.id);
        let system = systems.first().expect("it has a system").id;
        let token = random_token(&SystemRng::new());
        let kept = Token {
            digest: digest(&token),
            role: Role::System(system),
            label: "its system".to_owned(),
            scope: TokenScope::everything(),
            created_at: SystemClock.now(),
            expires_at: None,
            revoked_at: None,
        };
        let inserted = tokens::insert(client.router.store().db(), &kept).await;
        inserted.expect("the router's database answers");
        Self { client, system, token }
    }

    /// `POST /v1/tasks/lease`.
    pub async fn asks(&self, wanted: &Value) -> Answer {
        let body = wanted.to_string().into_bytes();
        let router = self.client.router;
        router
            .post_as(&self.token, "/v1/tasks/lease", "application/json", body)
            .await
    }

    /// The tasks of such an answer, each as a webhook would have brought it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn fetches(&self, wanted: &Value) -> Vec<Heard> {
        let answer = self.asks(wanted).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let tasks = answer.json()["tasks"].as_array().expect("a list of tasks").clone();
        let heard = |task: &Value| {
            let member = |name: &str| task[name].as_str().expect("a text").to_owned();
            Heard {
                headers: vec![
                    ("webhook-id".to_owned(), member("task")),
                    ("content-digest".to_owned(), member("content_digest")),
                ],
                body: member("body").into_bytes(),
            }
        };
        tasks.iter().map(heard).collect()
    }

    /// `POST /v1/tasks/{id}/receipt`.
    pub async fn answers(&self, task: &str, receipt: &str) -> Answer {
        let path = format!("/v1/tasks/{task}/receipt");
        let router = self.client.router;
        router
            .post_as(
                &self.token,
                &path,
                "application/secevent+jwt",
                receipt.as_bytes().to_vec(),
            )
            .await
    }
}
