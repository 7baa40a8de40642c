//! Results for people and for programs: tables as aligned text and as CSV, and the folder that they
//! are written to. JSON is the reports themselves, through serde.

mod number;
mod page;
mod results;
mod table;

pub use number::Format;
pub(crate) use page::Page;
pub(crate) use results::{Results, record};
pub use table::{Cell, Table};
