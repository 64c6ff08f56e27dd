//! Data sets by name: what `--data` and `--task` accept.

use std::path::{Path, PathBuf};

use crate::archive::ENDINGS;
use crate::{
    CelebA, Cifar10, CsvTable, Dataset, Error, Folder, HubOptions, Lfw, Mnist, Npy, Omniglot,
    Result, Split, TargetColumn, TinyImageNet, TinyImageNetSplits, ToyFaces, hub,
};

/// The forms that [`open`] accepts, for help texts.
pub const DATASETS: [&str; 12] = [
    "toy-faces[:PEOPLE]",
    "celeba[:PATH]",
    "cifar10[:PATH]",
    "mnist[:PATH]",
    "lfw[:PATH]",
    "omniglot[:PATH]",
    "tiny-imagenet[:PATH]",
    "tiny-imagenet-fewshot[:PATH]",
    "folder:PATH",
    "npy:FILE",
    "csv:FILE",
    "hf:OWNER/REPO",
];

/// What decides how a data set is opened, beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The data set's own folder or archive, where its name gives none.
    pub data_root: Option<PathBuf>,
    /// Replaces `list_eval_partition.txt` (CelebA only; others ignore it).
    pub partition: Option<PathBuf>,
    /// Columns to predict (`csv` only; others ignore them); all where there are none.
    pub targets: Vec<TargetColumn>,
    /// Seed of rendered pictures and of splits that the data set does not define.
    pub seed: u64,
    /// A folder that holds several data sets by name. [`OpenOptions::from_env`] takes it from
    /// `VDVAE_DATA`.
    pub collection: Option<PathBuf>,
    /// Splits that will be read, where not all; only a data set of the hub goes by it, and
    /// downloads no others.
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

/// Opens a data set: `toy-faces`, or `celeba`, `cifar10`, `mnist`, `lfw`, `omniglot`,
/// `tiny-imagenet` or `tiny-imagenet-fewshot` with or without `:PATH`, or `folder:PATH`, `npy:FILE`,
/// `csv:FILE` or `hf:OWNER/REPO[@REVISION][/CONFIG]`.
///
/// `toy-faces:PEOPLE` has as many people to train on as it says, 20 pictures of each; the first of
/// them are those of `toy-faces`, and the other splits are the same.
///
/// Where a data set lies is decided as by [`locate`]; `folder`, `npy` and `csv` are not looked for
/// in the collection. CelebA that is nowhere comes from the hub.
///
/// # Errors
/// [`Error::UnknownDataset`] lists the valid names; [`Error::NoPath`]; [`Error::NoData`]; the
/// errors of each reader.
///
/// ```
/// use vdvae_datasets::{OpenOptions, Split, open};
///
/// let faces = open("toy-faces", &OpenOptions::default())?;
/// assert_eq!(faces.len(Split::Train), 4000);
/// assert_eq!(open("toy-faces:2000", &OpenOptions::default())?.len(Split::Train), 40_000);
/// assert!(open("celebb", &OpenOptions::default()).is_err());
/// # Ok::<(), vdvae_datasets::Error>(())
/// ```
pub fn open(spec: &str, options: &OpenOptions) -> Result<Box<dyn Dataset>> {
    let (name, given) = parse(spec);
    let unknown = || Error::UnknownDataset { found: spec.into(), expected: DATASETS.join(", ") };
    let no_path = || Error::NoPath { dataset: name.to_owned() };
    let root = || given.clone().or_else(|| options.data_root.clone()).ok_or_else(no_path);
    let published = || locate(spec, options);
    let tiny = |splits: TinyImageNetSplits| -> Result<Box<dyn Dataset>> {
        Ok(Box::new(TinyImageNet::open(&published()?, splits, options.seed)?))
    };
    Ok(match name {
        "toy-faces" => {
            let people = given.as_deref().map_or(Some(ToyFaces::PEOPLE[0]), number_of_people);
            let [_, valid, test] = ToyFaces::PEOPLE;
            let people = [people.ok_or_else(unknown)?, valid, test];
            Box::new(ToyFaces::with_people(options.seed, people))
        }
        "celeba" => match published() {
            Ok(path) => Box::new(CelebA::open(&path, options.partition.as_deref())?),
            Err(_) => hub::open_celeba(&options.hub, &options.splits, options.seed)?,
        },
        "cifar10" => Box::new(Cifar10::open(&published()?)?),
        "mnist" => Box::new(Mnist::open(&published()?)?),
        "lfw" => Box::new(Lfw::open(&published()?)?),
        "omniglot" => Box::new(Omniglot::open(&published()?)?),
        "tiny-imagenet" => tiny(TinyImageNetSplits::Official)?,
        "tiny-imagenet-fewshot" => tiny(TinyImageNetSplits::FewShot)?,
        "folder" => Box::new(Folder::open(&root()?, options.seed)?),
        "npy" => Box::new(Npy::open(&root()?)?),
        "csv" => Box::new(CsvTable::open(&root()?, options.seed, &options.targets)?),
        "hf" => {
            let address = spec.split_once(':').map_or("", |(_, address)| address);
            hub::open(address, &options.hub, &options.splits, options.seed)?
        }
        _ => return Err(unknown()),
    })
}

/// Where a data set lies, for readers that give more than a [`Dataset`] does, as [`Lfw::pairs`].
///
/// A path after the colon comes first, then [`OpenOptions::data_root`], then the folder or archive
/// in [`OpenOptions::collection`] that is named like the data set or as it is published, e.g.
/// `tiny-imagenet-200.zip`.
///
/// # Errors
/// [`Error::NoPath`].
///
/// ```
/// use vdvae_datasets::{OpenOptions, locate};
///
/// let path = locate("lfw:/data/lfw.tgz", &OpenOptions::default())?;
/// assert_eq!(path, std::path::Path::new("/data/lfw.tgz"));
/// assert!(locate("lfw", &OpenOptions::default()).is_err());
/// # Ok::<(), vdvae_datasets::Error>(())
/// ```
pub fn locate(spec: &str, options: &OpenOptions) -> Result<PathBuf> {
    let (name, given) = parse(spec);
    let found =
        given.or_else(|| options.data_root.clone()).or_else(|| in_collection(options, name));
    found.ok_or_else(|| Error::NoPath { dataset: name.to_owned() })
}

/// The number after `toy-faces:`.
fn number_of_people(given: &Path) -> Option<usize> {
    given.to_str()?.parse().ok().filter(|people| (1..=1_000_000).contains(people))
}

/// Name and path of `NAME:PATH`.
fn parse(spec: &str) -> (&str, Option<PathBuf>) {
    let (name, path) = spec.split_once(':').unwrap_or((spec, ""));
    (name, Some(path).filter(|path| !path.is_empty()).map(PathBuf::from))
}

/// Names of a data set's folder or archive in a collection, the first preferred.
fn names(name: &str) -> &[&str] {
    match name {
        "cifar10" => &["cifar10", "cifar-10", "cifar-10-batches-bin", "cifar-10-batches-py"],
        "lfw" => &["lfw", "lfw_home", "lfw-funneled", "lfw_funneled", "lfw-deepfunneled"],
        // Of 64×64 pixels, as published, or scaled down.
        "tiny-imagenet" | "tiny-imagenet-fewshot" => &[
            "tiny-imagenet",
            "tiny-imagenet-200",
            "tiny-imagenet-32",
            "tinyimagenet",
            "tinyimagenet32",
        ],
        _ => &[],
    }
}

/// The folder or archive of a data set in the collection, where it exists.
fn in_collection(options: &OpenOptions, name: &str) -> Option<PathBuf> {
    let collection: &Path = options.collection.as_deref()?;
    let own = [name];
    let names = names(name);
    let stems = if names.is_empty() { &own[..] } else { names };
    let endings = || std::iter::once("").chain(ENDINGS);
    let named = stems.iter().flat_map(|stem| endings().map(move |end| format!("{stem}{end}")));
    named.map(|file| collection.join(file)).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;

    fn message(spec: &str, options: &OpenOptions) -> String {
        open(spec, options).err().unwrap().to_string()
    }

    #[test]
    fn unknown_names_list_the_valid_ones() {
        let options = OpenOptions::default();
        for spec in ["celebb", "", "toy-faces:x", "toy-faces:0", ":"] {
            let text = message(spec, &options);
            assert!(text.contains("toy-faces[:PEOPLE], celeba[:PATH]"), "{text}");
            assert!(text.contains(&format!("`{spec}`")), "{text}");
        }
    }

    #[test]
    fn a_missing_path_names_every_way_to_give_one() {
        let text = message("celeba:", &OpenOptions::default());
        assert!(text.contains("celeba:PATH") && text.contains("--data-root"), "{text}");
        assert!(text.contains("VDVAE_DATA") && text.contains("hub"), "{text}");
        assert!(text.contains("toy-faces") && !text.contains('\n'), "{text}");
        assert!(message("cifar10", &OpenOptions::default()).contains("cifar10:PATH"));
    }

    #[test]
    fn paths_are_taken_from_the_name_then_the_root_then_the_collection() {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["cifar10", "a", "b"] {
            std::fs::create_dir(directory.path().join(folder)).unwrap();
        }
        let at = |name: &str| directory.path().join(name);
        let mut options =
            OpenOptions { collection: Some(directory.path().into()), ..OpenOptions::default() };
        let in_folder = |name: &str, text: String| {
            let expected = format!("in {}:", at(name).display());
            assert!(text.contains(&expected), "{text}");
        };
        in_folder("cifar10", message("cifar10", &options));
        options.data_root = Some(at("a"));
        in_folder("a", message("cifar10", &options));
        in_folder("b", message(&format!("cifar10:{}", at("b").display()), &options));
    }

    #[test]
    fn published_names_are_found_in_the_collection() {
        let directory = tempfile::tempdir().unwrap();
        let collection = Some(directory.path().to_owned());
        let options = OpenOptions { collection, ..OpenOptions::default() };
        for (name, file) in [
            ("lfw", "lfw-funneled.tgz"),
            ("omniglot", "omniglot"),
            ("tiny-imagenet", "tiny-imagenet-200.zip"),
            ("tiny-imagenet-fewshot", "tiny-imagenet-200.zip"),
            ("cifar10", "cifar-10-batches-py"),
        ] {
            std::fs::write(directory.path().join(file), b"").unwrap();
            assert_eq!(locate(name, &options).unwrap(), directory.path().join(file));
            // Found there, and refused by its reader.
            assert!(message(name, &options).contains(file), "{name}");
        }
        // The data set's own name comes first.
        std::fs::write(directory.path().join("lfw.tgz"), b"").unwrap();
        assert_eq!(locate("lfw", &options).unwrap(), directory.path().join("lfw.tgz"));
    }

    #[test]
    fn targets_reach_the_csv_reader() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.png"), crate::decode::tests::png()).unwrap();
        std::fs::write(directory.path().join("b.png"), crate::decode::tests::png()).unwrap();
        let path = directory.path().join("x.csv");
        std::fs::write(&path, "path,split,a,b\na.png,test,1,2\nb.png,test,0,3\n").unwrap();
        let options = OpenOptions { targets: vec!["b".parse().unwrap()], ..Default::default() };
        let dataset = open(&format!("csv:{}", path.display()), &options).unwrap();
        let crate::Labels::Classes { names, .. } = dataset.labels(Split::Test) else { panic!() };
        assert_eq!(names, ["2", "3"]);
        assert!(message("csv", &options).contains("--data-root"));
    }

    #[test]
    fn the_seed_reaches_the_renderer() {
        let open_seed = |seed| open("toy-faces", &OpenOptions { seed, ..Default::default() });
        let picture = |seed| open_seed(seed).unwrap().image(Split::Train, 0).unwrap();
        assert_ne!(picture(0), picture(1));
    }
}
