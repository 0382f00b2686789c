//! Whole journeys: from what a platform sends to a receipt that a stranger can verify, on both deployments.

mod canary;
mod channels;
mod contract;
mod corpus;
mod doors;
mod faults;
mod messages;
mod outcomes;
mod pull;
mod rotation;
mod silence;
