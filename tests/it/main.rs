//! The journeys and rules that cross a service boundary, in one binary.

mod architecture;
mod parts;
