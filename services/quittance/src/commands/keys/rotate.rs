//! `quittance keys rotate`: a new webhook secret, with an overlap in which the old one signs too.

use clap::Args;
use jiff::SignedDuration;
use registry::apply::RegistryError;
use registry::rotate::Rotation;
use serde_json::json;

use crate::commands::apply::registrar;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::settings::Settings;

/// Whoever needs longer than a week to change a setting has forgotten it.
const OVERLAP_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often a rotation is computed anew when others change the registry at the same time.
const TRIES: u32 = 5;

/// `quittance keys rotate`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  quittance keys rotate nablus-sweets/crm                     say what would happen
  quittance keys rotate nablus-sweets/crm --yes               a new secret (whsec_…); the old one signs for a day more
  quittance keys rotate nablus-sweets --overlap 72h --yes     a new key pair (whsk_…); its public half is shown
  quittance keys rotate nablus-sweets/crm --overlap 0s --yes  at once, because somebody else knows the old one")]
pub struct Rotate {
    /// A system as `CONTROLLER/SYSTEM`, or a controller, by their slugs.
    pub name: String,
    /// How long the old one signs beside the new one, such as `90m`, `24h` or `0s`; at most a week.
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = overlap)]
    pub overlap: SignedDuration,
    /// Do it. Without this, only say what would happen.
    #[arg(long)]
    pub yes: bool,
}

/// Rotates, or says what it would do.
pub(super) async fn run(rotate: &Rotate, settings: Settings, output: Output) -> Result<(), Failure> {
    let registrar = registrar(&Deployment::new(settings)).await?;
    let mut tried = 1;
    let rotation = loop {
        let rotation = registrar.propose_rotation(&rotate.name, rotate.overlap).await?;
        if !rotate.yes {
            would(rotate, &rotation, output);
            return Ok(());
        }
        match registrar.rotate(&rotation).await {
            Ok(()) => break rotation,
            Err(RegistryError::Stale) if tried < TRIES => tried += 1,
            Err(error) => return Err(error.into()),
        }
    };
    let (name, until) = (&rotate.name, rotation.until);
    // A receiver needs the shared secret itself, but of a pair the public half only.
    let shown = rotation.public.as_deref().unwrap_or_else(|| rotation.made.expose());
    let words = match rotation.replaced {
        0 => format!("{name} is signed to with a new key from now on, shown this once: {shown}"),
        _ => format!(
            "{name} is signed to with a new key from now on, and with the old one until {until}; the new one, shown this once: {shown}"
        ),
    };
    let said = json!({"rotated": name, "replaced": rotation.replaced, "until": until, "receiver_key": shown});
    output.tell(output.paint(Tone::Good, words), &said);
    Ok(())
}

fn would(rotate: &Rotate, rotation: &Rotation, output: Output) {
    let (name, replaced) = (&rotate.name, rotation.replaced);
    let until = rotation.until;
    let words = match replaced {
        0 => format!("would give {name} a key, which it lacks; --yes does it"),
        _ => format!("would give {name} a new key; the old one signs until {until} beside it; --yes does it"),
    };
    output.tell(
        words,
        &json!({"would_rotate": name, "replaced": replaced, "until": until}),
    );
}

fn overlap(text: &str) -> Result<SignedDuration, String> {
    let overlap: SignedDuration = text.parse().map_err(|_| "a time such as 90m, 24h or 0s".to_owned())?;
    if (SignedDuration::ZERO..=OVERLAP_MAX).contains(&overlap) {
        Ok(overlap)
    } else {
        Err("an overlap is at most 168h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_at_most_a_week() {
        assert_eq!(overlap("90m"), Ok(SignedDuration::from_mins(90)));
        assert_eq!(overlap("0s"), Ok(SignedDuration::ZERO));
        for wrong in ["", "-1h", "169h", "soon", "24"] {
            assert!(overlap(wrong).is_err(), "{wrong}");
        }
    }
}
