//! intake

pub mod phrases;
