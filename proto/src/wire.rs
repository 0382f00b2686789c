//! The generated types. Nothing outside this crate sees them.

#![expect(clippy::pedantic, unreachable_pub, reason = "the code is generated")]

include!(concat!(env!("OUT_DIR"), "/dsr.v1.rs"));
