//! The rights that a person can exercise, and where the person met the business.

use crate::word::vocabulary;

vocabulary! {
    /// What a person asks for (GDPR Arts. 15–22 and their equivalents).
    Right ("right") {
        /// Erase what is held about me (Art. 17).
        Deletion = "deletion",
        /// Tell me what is held about me (Art. 15).
        Access = "access",
        /// Put right what is wrong (Art. 16).
        Correction = "correction",
        /// Give it to me in a machine-readable form (Art. 20).
        Portability = "portability",
        /// Keep it, but don't use it (Art. 18).
        Restriction = "restriction",
        /// Stop using it for this purpose (Art. 21).
        Objection = "objection",
        /// I take my consent back (Art. 7(3)).
        ConsentWithdrawal = "consent_withdrawal",
        /// Do not sell or share (Cal. Civ. Code 1798.120).
        OptOut = "opt_out",
        /// A whole controller's data at the end of its contract (Art. 28(3)(g)).
        Offboarding = "offboarding",
    }
}

vocabulary! {
    /// Where the person met the business.
    Channel ("channel") {
        /// WhatsApp Cloud API.
        Whatsapp = "whatsapp",
        /// Instagram messaging.
        Instagram = "instagram",
        /// Facebook Messenger.
        Messenger = "messenger",
        /// A Telegram bot.
        Telegram = "telegram",
        /// A web page or form.
        Web = "web",
        /// E-mail.
        Email = "email",
        /// A product's or client's own program.
        Api = "api",
        /// Any other chat.
        Other = "other",
    }
}
