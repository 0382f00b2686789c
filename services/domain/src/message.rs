//! What a client's systems are told: the types of messages, and where a message is in its life.
//!
//! A message is sent like a task — the same id and bytes on every attempt — but nothing is owed for it: a 2xx ends it.
//! So it may be given up where a task is only parked; that is counted and said aloud.

use crate::word::vocabulary;

vocabulary! {
    /// The `type` of a webhook's body.
    MessageType ("message type") {
        /// A task: never a message of its own, since the task's id names it.
        TaskCreated = "dsr.task.created",
        /// A request was taken back; what was handed over about it need not be done.
        TaskWithdrawn = "dsr.task.withdrawn",
        /// A task was handed over and no receipt came.
        TaskReminder = "dsr.task.reminder",
        /// To the notices system: reminders came to nothing.
        TaskUnanswered = "dsr.task.unanswered",
        /// To the notices system: requests came, with signed acknowledgements.
        RequestReceived = "dsr.request.received",
        /// To the notices system: receipts are in the log.
        ReceiptLogged = "dsr.receipt.logged",
        /// To the notices system: all systems answered, and the person's data lies ready.
        RequestAssembled = "dsr.request.assembled",
        /// To the notices system: requests are closed.
        RequestClosed = "dsr.request.closed",
        /// An operator tries whether the address answers.
        Ping = "ping",
    }
}

vocabulary! {
    /// Where a message is in its life.
    MessageStage ("message stage") {
        /// To be sent at its time or later.
        Due = "due",
        /// An attempt is under way.
        Sending = "sending",
        /// A 2xx came.
        Delivered = "delivered",
        /// What it would have said was overtaken: a reminder whose receipt came.
        Moot = "moot",
        /// It is not tried again.
        GivenUp = "given_up",
    }
}
