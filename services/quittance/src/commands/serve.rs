//! `quittance up`, `intake`, `dispatch`, `ledger`: services until the stop.

use clap::Args;
use platform::lifecycle::Lifecycle;
use platform::telemetry;
use serde_json::json;

use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::output::Output;
use crate::router::{Roles, Router};
use crate::settings::Settings;

/// Run all services in one process, for real use on one machine.
///
/// Everything lies in the data folder unless the configuration says otherwise. Make the keys first, with
/// `quittance keys init`. SIGTERM or Ctrl-C ends it within ten seconds; nothing that was accepted is lost, however it
/// ends.
#[derive(Debug, Args)]
pub struct Up {}

/// Run one service of a cluster.
///
/// Its databases are prepared by `quittance migrate` and its topics by `quittance topics`. SIGTERM ends it within ten
/// seconds. `/healthz`, `/readyz` and `/metrics` answer on its address.
#[derive(Debug, Args)]
pub struct Service {}

/// Runs services until the stop.
pub async fn run(roles: Roles, settings: Settings, output: Output) -> Result<(), Failure> {
    let _guard = telemetry::init(&settings.telemetry, name(roles)).map_err(Failure::usage)?;
    let lifecycle = Lifecycle::new();
    let deployment = Deployment::new(settings);
    let _claim = deployment.claim()?;
    let router = Router::start(deployment, roles, &lifecycle).await?;
    for (service, addr) in addresses(&router) {
        output.tell(
            format_args!("{service:<9} http://{addr}"),
            &json!({"service": service, "url": format!("http://{addr}")}),
        );
    }
    router.until_stopped(&lifecycle).await
}

fn addresses(router: &Router) -> impl Iterator<Item = (&'static str, std::net::SocketAddr)> {
    let ledger = router.ledger.as_ref().map(|(addr, _)| *addr);
    let all = [
        ("intake", router.intake),
        ("dispatch", router.dispatch),
        ("ledger", ledger),
    ];
    all.into_iter().filter_map(|(service, addr)| Some((service, addr?)))
}

const fn name(roles: Roles) -> &'static str {
    match roles {
        Roles::All => "quittance",
        Roles::Intake => "intake",
        Roles::Dispatch => "dispatch",
        Roles::Ledger => "ledger",
    }
}
