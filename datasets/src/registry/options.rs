//! What decides how a data set is opened, beside its name.

use std::path::PathBuf;

use crate::{ArrayLayout, HubOptions, Split, SplitFolder, TableOptions, TargetColumn};

/// How a data set is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The data set's own folder or archive, where its name gives none.
    pub data_root: Option<PathBuf>,
    /// Replaces `list_eval_partition.txt` (CelebA only; others ignore it).
    pub partition: Option<PathBuf>,
    /// Columns to predict (`csv` and `hf` only; others ignore them); where there are none, all of a
    /// table, and what a data set of the hub has as its label.
    pub targets: Vec<TargetColumn>,
    /// Folders of the splits (`folder` only; others ignore them); told by their names where there
    /// are none.
    pub split_folders: Vec<SplitFolder>,
    /// Where channels are, where the shape of an array does not say (`npy` and `npz` only).
    pub layout: Option<ArrayLayout>,
    /// What the columns of a table are for (`csv` only; others ignore it).
    pub table: TableOptions,
    /// Seed of rendered pictures and of splits that the data set does not define.
    pub seed: u64,
    /// A folder that holds several data sets by name. [`OpenOptions::from_env`] takes it from
    /// `VDVAE_DATA`.
    pub collection: Option<PathBuf>,
    /// Splits that will be read, where not all: a data set of the hub downloads no others, and an
    /// array without splits that is only trained on is not held out from.
    pub splits: Vec<Split>,
    /// How the hub is reached; not at all by default.
    pub hub: HubOptions,
}

impl OpenOptions {
    /// Defaults, with the collection that the environment variable `VDVAE_DATA` names, and the hub
    /// as [`HubOptions::from_env`] says.
    pub fn from_env() -> Self {
        let collection = std::env::var_os("VDVAE_DATA").filter(|value| !value.is_empty());
        let collection = collection.map(PathBuf::from);
        Self { collection, hub: HubOptions::from_env(), ..Self::default() }
    }
}
