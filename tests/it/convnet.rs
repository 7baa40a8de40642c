//! Trained convnets: reading, forward, and the way back.

mod cases;
mod damage;
mod exporters;
mod models;
mod operator_cases;
mod operators;
mod reading;
mod size_cases;
