//! The command line, and the deployments behind it.
//!
//! Each command is a few lines that call a library. What they share stands here: what a deployment is told
//! ([`settings`]), what it is made of ([`deployment`]), how a command prints ([`output`]) and how it ends badly
//! ([`failure`]). [`verify`] is apart from all of that: it knows files and nothing else, because whoever runs it
//! should not have to trust this deployment.

pub mod cli;
pub mod commands;

pub mod deployment;
pub mod router;
pub mod settings;

pub mod demo;

pub mod examples;
pub mod verify;

pub mod failure;
pub mod key_files;
pub mod output;
