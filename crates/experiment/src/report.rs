//! What an experiment leaves behind.

use std::path::Path;

use vdvae_probes::ProbeReport;
use vdvae_report::{Example, LayerKl, ReportPage, RocCurve, write_csv, write_json, write_page};

use crate::candidate::Splits;
use crate::error::Result;
use crate::experiment::Experiment;
use crate::page;
use crate::pairing::{PAIRING, Pairing};
use crate::task::Scores;

/// The results of an experiment, and what its page shows beside them.
#[derive(Debug, Clone)]
pub struct Report {
    /// Results and paired differences: what `results.json` holds.
    pub results: ProbeReport,
    /// What other runs are compared with: what `pairing.json` holds; none of a task without units.
    pub pairing: Option<Pairing>,
    /// KL divergence of every layer, top (1×1) first.
    pub layers: Vec<LayerKl>,
    /// Receiver operating characteristics of the best latents and of their controls.
    pub roc: Vec<RocCurve>,
    /// A few test pictures, what is predicted of them, and the training pictures nearest to them.
    pub pictures: Vec<Example>,
    /// Where the numbers come from, as names and values.
    pub provenance: Vec<(String, String)>,
    /// The command that repeats the experiment; empty where there is none.
    pub command: String,
}

impl Report {
    /// Illustrates results with what the tables of the latents and the network tell.
    pub(crate) fn new(
        experiment: &Experiment<'_>,
        results: ProbeReport,
        latents: &Splits,
        scores: &dyn Scores,
    ) -> Result<Self> {
        let (layers, kl_pictures) = page::kl_of_layers(experiment)?;
        let drawn = experiment.task.drawn();
        Ok(Self {
            pairing: Pairing::new(&latents[2], &drawn, scores.units()),
            layers,
            roc: scores.roc(),
            pictures: page::examples(experiment, latents, scores)?,
            provenance: page::provenance(experiment, &results, kl_pictures),
            command: experiment.command.clone(),
            results,
        })
    }

    /// What `report.html` shows.
    pub fn page(&self) -> ReportPage<'_> {
        ReportPage {
            report: &self.results,
            layers: self.layers.clone(),
            roc: self.roc.clone(),
            pictures: self.pictures.clone(),
            provenance: self.provenance.clone(),
            command: self.command.clone(),
        }
    }

    /// Writes `results.json`, `results.csv`, `pairing.json` and `report.html` into a folder, which is created where
    /// it does not exist. Each file is replaced as a whole.
    ///
    /// # Errors
    /// [`Error::Report`](crate::Error::Report) where one cannot be written.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder)
            .map_err(|source| vdvae_report::Error::Write { path: folder.to_owned(), source })?;
        write_json(&folder.join("results.json"), &self.results)?;
        write_csv(&folder.join("results.csv"), &self.results)?;
        if let Some(pairing) = &self.pairing {
            pairing.write(&folder.join(PAIRING))?;
        }
        write_page(&folder.join("report.html"), &self.page())?;
        Ok(())
    }
}
