//! `vdvae fetch`.

use anyhow::Result;
use serde_json::json;
use vdvae_datasets::{Dataset, Error, Fetched, Split, fetch};
use vdvae_hub::{HubOptions, fetch_weights};
use vdvae_model::{PUBLISHED, Published};

use crate::common::Common;
use crate::data::not_found;
use crate::download::{hub_options, weights_path};
use crate::exit::usage;
use crate::output::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Published weights (imagenet32, imagenet64, ffhq256, ffhq1024, cifar10-seed0 to
    /// cifar10-seed3), celeba, or hf:OWNER/REPO, a data set or a model of the Hugging Face hub
    /// [example: vdvae fetch imagenet64]
    name: String,
}

pub(crate) fn run(args: Args, common: &Common) -> Result<()> {
    match fetch_any(&args.name, &hub_options())? {
        Fetched::Weights(path) if common.json => {
            print(&json!({"name": args.name, "path": path}).to_string())
        }
        Fetched::Weights(path) => print(&path.display().to_string()),
        Fetched::Dataset(dataset) if common.json => print(&as_json(&args.name, &*dataset)),
        Fetched::Dataset(dataset) => {
            let counts = Split::ALL.map(|split| format!("{split} {}", dataset.len(split)));
            print(&format!("{}: {} pictures", args.name, counts.join(", ")))
        }
    }
}

fn fetch_any(name: &str, options: &HubOptions) -> Result<Fetched> {
    if let Some(weights) = Published::named(name) {
        let path = weights_path(weights)?;
        fetch_weights(name, weights.address, &path, options)?;
        return Ok(Fetched::Weights(path));
    }
    fetch(name, options).map_err(|error| match error {
        Error::UnknownDataset { found, expected } => {
            let weights: Vec<&str> = PUBLISHED.iter().map(|weights| weights.name).collect();
            let weights = weights.join(", ");
            usage(format!("expected one of {weights}, {expected}, found `{found}`"))
        }
        other => not_found(other),
    })
}

fn as_json(name: &str, dataset: &dyn Dataset) -> String {
    let [train, valid, test] = Split::ALL.map(|split| dataset.len(split));
    json!({"name": name, "n_train": train, "n_valid": valid, "n_test": test}).to_string()
}
