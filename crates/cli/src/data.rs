//! The pictures that flags ask for.

use std::path::PathBuf;

use anyhow::Result;
use image::RgbImage;
use vdvae_datasets::{
    ArrayLayout, DATASETS, Dataset, Exif, Labels, OnBadImage, OpenOptions, Preparation, Split,
    SplitFolder, TableChoice, TableOptions, TargetColumn, Uncertain,
};
use vdvae_io::{FORMATS, printable, read_picture};

use crate::download::hub_options;
use crate::exit::usage;

/// Which pictures to read.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArgs {
    /// The data set's own folder or archive; $VDVAE_DATA is a folder that holds several by name
    /// [example: --data-root data/celeba]
    #[arg(long, value_name = "PATH")]
    pub(crate) data_root: Option<PathBuf>,
    /// CelebA: a file of splits in place of list_eval_partition.txt
    /// [example: --partition my_split.txt]
    #[arg(long, value_name = "FILE")]
    pub(crate) partition: Option<PathBuf>,
    /// Folders of folder:PATH that hold the splits, relative to it, where their names do not say so;
    /// pictures elsewhere are left out, and `train=.` alone takes all folders for classes
    /// [example: --splits train=part1,train=part2,test=part3]
    #[arg(long = "splits", value_delimiter = ',', value_name = "SPLIT=DIR")]
    pub(crate) split_folders: Vec<SplitFolder>,
    /// Columns of csv:FILE or hf:OWNER/REPO to predict, with their types where those are not to be
    /// found from the cells: NAME, NAME:binary, NAME:real or NAME:class [example: --targets age:real]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(crate) targets: Vec<TargetColumn>,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    /// What happens to a picture that cannot be read [example: --on-bad-image skip]
    #[arg(long, value_name = "fail|skip", default_value = "fail")]
    pub(crate) on_bad_image: OnBadImage,
    /// npy:FILE and npz:FILE: where the channels of N×C×H×W or N×H×W×C are, where the shape fits
    /// both [example: --layout nchw]
    #[arg(long, value_name = "nhwc|nchw")]
    pub(crate) layout: Option<ArrayLayout>,
    #[command(flatten)]
    pub(crate) orientation: ExifArg,
}

/// What `--data` is for, with the names that the registry of data sets offers.
pub(crate) fn data_help() -> String {
    let forms: Vec<&str> = DATASETS.iter().map(|entry| entry.form).collect();
    let forms = forms.join(", ");
    format!("Data set: one of {forms}. {} [example: --data cifar10:data/cifar10]", files_help())
}

/// What files are read, whatever they are named.
pub(crate) fn files_help() -> String {
    format!(
        "Files of pictures are {FORMATS}; archives of folders are zip or tar, plain or in gzip, bzip2, xz \
         or zstd"
    )
}

/// How picture files are turned.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExifArg {
    /// What happens to the orientation that a picture's file states: apply turns the picture as
    /// people see it, ignore reads the pixels as they are stored [example: --exif ignore]
    #[arg(long, value_name = "apply|ignore", default_value = "apply")]
    pub(crate) exif: Exif,
}

impl ExifArg {
    /// The default preparation for a network of this size, but for the orientation.
    pub(crate) fn preparation(&self, image_size: usize) -> Preparation {
        Preparation { exif: self.exif, ..Preparation::new(image_size) }
    }
}

/// What the columns of csv:FILE are for, where their names do not say it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TableArgs {
    /// The column of csv:FILE that names the pictures; without it `path`, `filename`, `image` and
    /// the like [example: --path-column photo]
    #[arg(long, value_name = "NAME")]
    path_column: Option<String>,
    /// The column of csv:FILE that says train, valid or test (or 0, 1, 2); without it `split`,
    /// `set`, `partition`, `is_test` and the like [example: --split-column part]
    #[arg(long, value_name = "NAME")]
    split_column: Option<String>,
    /// The column of csv:FILE whose rows of one value stay together in a split; without it `group`,
    /// `identity`, `patient_id` and the like [example: --group-column family]
    #[arg(long, value_name = "NAME")]
    group_column: Option<String>,
    /// What -1 says in the binary columns of csv:FILE; without it no, where there is 1 beside it
    /// and nothing else [example: --uncertain missing]
    #[arg(long, value_name = "missing|no|yes")]
    uncertain: Option<Uncertain>,
}

impl TableArgs {
    /// The first flag that is given.
    fn given(&self) -> Option<&'static str> {
        let Self { path_column, split_column, group_column, uncertain } = self;
        let flags = [
            ("--path-column", path_column.is_some()),
            ("--split-column", split_column.is_some()),
            ("--group-column", group_column.is_some()),
            ("--uncertain", uncertain.is_some()),
        ];
        flags.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    fn options(&self) -> TableOptions {
        let Self { path_column, split_column, group_column, uncertain } = self.clone();
        TableOptions { path: path_column, split: split_column, group: group_column, uncertain }
    }
}

impl DataArgs {
    /// Opens a data set by the name it has in the registry, for these splits: others may be left
    /// out where they would have to be downloaded.
    ///
    /// Splits and rendered pictures have a seed of their own, which never changes: with another
    /// one, pictures a network was trained on would turn up in its test split.
    pub(crate) fn open(&self, name: &str, splits: &[Split]) -> Result<Box<dyn Dataset>> {
        self.check(name)?;
        let dataset = vdvae_datasets::open(name, &self.options(splits)).map_err(not_found)?;
        for remark in dataset.remarks() {
            eprintln!("note: {}", printable(&remark));
        }
        Ok(dataset)
    }

    /// The first flag that is given, of those that say which pictures a data set has.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let root = self.data_root.as_ref().map(|_| "--data-root");
        root.or_else(|| self.of_kinds().into_iter().find_map(|(flag, _, _)| flag))
    }

    /// Flags that are about data sets of some kinds alone, where they are given; those kinds, and
    /// what to call them.
    fn of_kinds(&self) -> [(Option<&'static str>, &'static [&'static str], &'static str); 5] {
        let when = |flag, given: bool| given.then_some(flag);
        [
            (
                when("--targets", !self.targets.is_empty()),
                &["csv", "hf"],
                "csv:FILE or hf:OWNER/REPO, which have columns to choose from",
            ),
            (
                when("--splits", !self.split_folders.is_empty()),
                &["folder"],
                "folder:PATH, whose folders may be splits",
            ),
            (self.table.given(), &["csv"], "csv:FILE, a table"),
            (when("--partition", self.partition.is_some()), &["celeba"], "celeba, which has one"),
            (
                when("--layout", self.layout.is_some()),
                &["npy", "npz"],
                "npy:FILE or npz:FILE, an array",
            ),
        ]
    }

    /// Fails for flags that the data set has no use for.
    fn check(&self, name: &str) -> Result<()> {
        let (kind, path) = name.split_once(':').unwrap_or((name, ""));
        for (flag, kinds, expected) in self.of_kinds() {
            if let Some(flag) = flag.filter(|_| !kinds.contains(&kind)) {
                return Err(usage(format!("{flag}: expected {expected}, found {name}")));
            }
        }
        match &self.data_root {
            Some(root) if !path.is_empty() || kind == "toy-faces" => Err(usage(format!(
                "--data-root: expected a data set that is looked for, found {name} beside {}",
                root.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Where a data set lies.
    pub(crate) fn locate(&self, name: &str) -> Result<PathBuf> {
        vdvae_datasets::locate(name, &self.options(&[])).map_err(not_found)
    }

    fn options(&self, splits: &[Split]) -> OpenOptions {
        OpenOptions {
            targets: self.targets.clone(),
            split_folders: self.split_folders.clone(),
            table: self.table.options(),
            data_root: self.data_root.clone(),
            partition: self.partition.clone(),
            layout: self.layout,
            splits: splits.to_vec(),
            hub: hub_options(),
            ..OpenOptions::from_env()
        }
    }
}

/// Files as a data set, so that they are read exactly as those of any other.
pub(crate) struct PictureFiles {
    pub(crate) paths: Vec<PathBuf>,
}

impl Dataset for PictureFiles {
    fn name(&self) -> &str {
        "pictures"
    }

    fn len(&self, _split: Split) -> usize {
        self.paths.len()
    }

    fn key(&self, _split: Split, index: usize) -> String {
        self.paths[index].display().to_string()
    }

    fn labels(&self, _split: Split) -> Labels {
        Labels::None
    }

    fn image(&self, split: Split, index: usize) -> vdvae_datasets::Result<RgbImage> {
        self.image_with(split, index, Exif::Apply)
    }

    fn image_with(
        &self,
        split: Split,
        index: usize,
        exif: Exif,
    ) -> vdvae_datasets::Result<RgbImage> {
        self.check_index(split, index)?;
        Ok(read_picture(&self.paths[index], exif)?)
    }

    fn fingerprint(&self) -> String {
        // Nothing is cached by it: the files are named anew every time.
        String::new()
    }
}

/// A name or a path that was not given right is a mistake in what was asked for.
pub(crate) fn not_found(error: vdvae_datasets::Error) -> anyhow::Error {
    use vdvae_datasets::Error;
    match error {
        Error::NoPath { .. } | Error::NoData { .. } => {
            usage(format!("{error}; --data-root PATH says where it is, too"))
        }
        Error::UnknownDataset { .. } | Error::Address(_) => usage(error),
        Error::EmptySplit { ref dataset, .. } if dataset == "celeba" => {
            anyhow::anyhow!("{error}; --partition FILE names other splits")
        }
        Error::Splits { .. } => {
            anyhow::anyhow!("{error}; --splits train=DIR,test=DIR says which folders are splits")
        }
        Error::AmbiguousArray { .. } => usage(format!("{error}; --layout nhwc or nchw says it")),
        Error::Targets { .. } | Error::Columns { .. } => {
            anyhow::anyhow!("{error}; choose with --targets")
        }
        Error::Undecided { choice, .. } => {
            let how = match choice {
                TableChoice::Path => "--path-column NAME chooses",
                TableChoice::Split => "--split-column NAME chooses",
                TableChoice::Group => "--group-column NAME chooses",
                TableChoice::Uncertain => "--uncertain missing|no|yes says what -1 is",
            };
            anyhow::anyhow!("{error}; {how}")
        }
        other => other.into(),
    }
}
