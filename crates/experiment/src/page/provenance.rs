//! Where the numbers of a page come from.

use vdvae_datasets::Preparation;
use vdvae_probes::ProbeReport;

use crate::experiment::Experiment;

/// Names and values, in the order of the page.
pub(crate) fn provenance(
    experiment: &Experiment<'_>,
    report: &ProbeReport,
    kl_pictures: usize,
) -> Vec<(String, String)> {
    let Experiment { preparation, spec, task, .. } = experiment;
    let data = &report.data;
    let pictures = [data.n_train, data.n_valid, data.n_test];
    let [train, valid, test] = pictures;
    let remarks = data.remarks.iter().map(|remark| ("Remark", remark.clone()));
    let rows = [
        ("Task", report.task.clone()),
        ("Model", report.model.name.clone()),
        ("Weights, SHA-256", report.model.sha256.clone().unwrap_or_default()),
        ("Network", network(experiment)),
        ("Data", data.name.clone()),
        ("Pictures", format!("{train} train, {valid} valid, {test} test")),
        ("Pictures are", pictures_are(*preparation)),
        ("Features", format!("statistic {}, pooling {}", spec.statistic, spec.pooling)),
        ("KL per layer", format!("seeded samples, mean over {kl_pictures} test pictures")),
        ("Intervals", task.intervals()),
        ("Seed", report.seed.to_string()),
        ("Version", format!("vdvae-probe {}", env!("CARGO_PKG_VERSION"))),
    ];
    rows.into_iter().chain(remarks).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn pictures_are(Preparation { exif, crop, resize, .. }: Preparation) -> String {
    format!("cut: {crop}, resized: {resize}, EXIF orientation: {exif}")
}

fn network(experiment: &Experiment<'_>) -> String {
    let config = experiment.model.config();
    let (size, layers) = (config.image_size, config.latent_layers().len());
    format!("{size}×{size}, {} parameters, {layers} layers", config.num_parameters())
}
