//! The registration of a client business, as the TOML that its operator would write.

use std::fmt::Write as _;

use platform::secret::Secret;

use super::person::fresh;

/// The product whose channels the businesses are bound to.
pub(super) const PRODUCT: &str = "smart-reply";

/// The accounts of a business.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// WhatsApp's phone-number id.
    pub whatsapp: String,
    /// The page's id.
    pub messenger: String,
    /// Instagram's id.
    pub instagram: String,
    /// The bot's id.
    pub telegram: String,
}

impl Accounts {
    /// Accounts that nobody else has; the bot comes from those that the router knows.
    pub(super) fn new(telegram: String) -> Self {
        let number = fresh();
        Self {
            whatsapp: format!("106{number:012}"),
            messenger: format!("107{number:012}"),
            instagram: format!("178{number:014}"),
            telegram,
        }
    }
}

/// A system and where it is.
pub(super) struct SystemEntry<'a> {
    pub slug: &'a str,
    pub reached: Reached<'a>,
}

/// How its tasks come to it.
pub(super) enum Reached<'a> {
    /// They are sent there, signed with that; `kind` is `webhook` or `notices`.
    At {
        kind: &'static str,
        url: &'a str,
        secret: &'a Secret,
    },
    /// It fetches them.
    NotAtAll,
}

impl Reached<'_> {
    fn lines(&self) -> String {
        match self {
            Self::At { kind, url, secret } => {
                let described = if *kind == "webhook" {
                    "wants_description = true\n"
                } else {
                    ""
                };
                let secret = secret.expose();
                format!("kind = {kind:?}\nurl = {url:?}\nsecrets = [{secret:?}]\n{described}")
            }
            Self::NotAtAll => "kind = \"pull\"\nwants_description = true\n".to_owned(),
        }
    }
}

/// A business with its accounts, systems, key and standing instruction.
pub(super) fn business(slug: &str, accounts: &Accounts, systems: &[SystemEntry<'_>], jwk: &str) -> String {
    let mut text = controller(slug, false);
    for (channel, account) in [
        ("whatsapp", &accounts.whatsapp),
        ("messenger", &accounts.messenger),
        ("instagram", &accounts.instagram),
        ("telegram", &accounts.telegram),
    ] {
        let _ = write!(
            text,
            "[[binding]]\ncontroller = {slug:?}\nproduct = {PRODUCT:?}\nchannel = {channel:?}\naccount = {account:?}\n"
        );
    }
    for SystemEntry { slug: system, reached } in systems {
        let reached = reached.lines();
        let _ = write!(text, "[[system]]\ncontroller = {slug:?}\nslug = {system:?}\n{reached}");
    }
    let _ = write!(text, "[[key]]\ncontroller = {slug:?}\njwk = {}\n", inline(jwk));
    let _ = write!(
        text,
        "[[instruction]]\ncontroller = {slug:?}\nmode = \"act_on_instruction\"\napprover = \"the owner\"\n"
    );
    text
}

/// The operator itself, which nothing is routed to here.
pub(super) fn operator() -> String {
    controller("operator", true)
        + "[[contact]]\ncontroller = \"operator\"\nslug = \"dpo\"\nemail = \"dpo@operator.example\"\n"
}

/// People may get their data on the word of the channel that holds it, so that journeys can ask by chat.
fn controller(slug: &str, operator: bool) -> String {
    format!(
        "[[controller]]\nslug = {slug:?}\nname = {slug:?}\nregime = \"gdpr\"\nzone = \"Asia/Hebron\"\n\
         country = \"PS\"\nissuer = \"https://{slug}.example\"\noperator = {operator}\n\
         assurance = {{ access = \"channel_control\" }}\n"
    )
}

/// A flat JSON object of texts, as TOML's inline table.
fn inline(jwk: &str) -> String {
    let jwk: serde_json::Map<String, serde_json::Value> = serde_json::from_str(jwk).expect("a key is JSON");
    let members: Vec<String> = jwk.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{{ {} }}", members.join(", "))
}
