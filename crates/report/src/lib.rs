//! Tables, CSV, JSON and a page of probe results.
//!
//! Files are written beside their place, synced and renamed: an abort leaves the old file or none.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod csv;
mod error;
mod json;
mod page;
mod predictions;
mod table;

pub use csv::{results_csv, write_csv};
pub use error::{Error, Result};
pub use json::{results_json, write_json};
pub use page::{
    Answer, Chart, ChartAxis, ChartLine, ChartPage, ChartPoint, ChartSection, ChartSpan, Example,
    LayerKl, Neighbour, ReportPage, RocCurve, render_charts, render_page, resolution_figure,
    write_charts, write_page,
};
pub use predictions::{predictions_csv, predictions_table};
pub use table::{
    Side, comparisons_table, report_table, results_table, signed_with_interval, targets_table,
    text_table, with_interval,
};

#[cfg(test)]
mod fixture;
