//! The journeys and rules that cross a service boundary, in one binary.

mod architecture;
mod cluster_kill;
mod journeys;
mod merkle;
mod openapi;
mod parts;
mod problems;
mod processes;
mod readme;
mod second_opinion;
