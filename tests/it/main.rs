//! The journeys and rules that cross a service boundary, in one binary.

mod architecture;
mod journeys;
mod merkle;
mod parts;
mod problems;
mod readme;
mod second_opinion;
