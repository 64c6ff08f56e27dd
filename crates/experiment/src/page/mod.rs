//! What `report.html` shows beside the results.

mod examples;
mod kl;
mod pictures;
mod provenance;

pub(crate) use examples::examples;
pub(crate) use kl::kl_of_layers;
pub(crate) use provenance::provenance;
