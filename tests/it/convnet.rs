//! Trained convnets: reading, forward, and the way back.

mod cases;
mod damage;
mod models;
mod operators;
mod reading;
