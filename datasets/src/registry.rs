//! The data sets: the one place that knows them by name.
//!
//! **To add a data set**, write its reader beside this file: a type that implements [`Dataset`],
//! opened from a path. [`FileStore`](crate::store::FileStore) reads a folder or an archive of the
//! published layout alike, [`Fingerprint`](crate::fingerprint::Fingerprint) identifies what was
//! found, and `names` and `ranking` sort and split it; `mnist.rs` is a short example, with its
//! tests at the foot. Then add one entry to [`DATASETS`]: its name, how it is written, a line about
//! it, its folder's names in a collection, what can be asked of it, and how it is opened. Help,
//! `--data`, `--task` and their messages read that table; nothing outside this crate changes.

use std::path::{Path, PathBuf};

use crate::archive::ENDINGS;
use crate::{
    ArrayLayout, Arrays, CelebA, Cifar, CifarSet, CsvTable, Dataset, Error, Folder, HubOptions,
    IdxSet, Lfw, Mnist, Omniglot, Result, Split, SplitFolder, TableOptions, TargetColumn,
    TinyImageNet, TinyImageNetSplits, ToyFaces, hub,
};

/// A data set of the registry.
#[derive(Debug, Clone, Copy)]
pub struct DatasetEntry {
    /// Name, such as `celeba`.
    pub name: &'static str,
    /// How it is written: `celeba[:PATH]`. Where the path is not in brackets it must be given.
    pub form: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// Names of its folder or archive in [`OpenOptions::collection`], the first preferred.
    pub folders: &'static [&'static str],
    /// What can be asked of it.
    pub tasks: Tasks,
    open: fn(&Request<'_>) -> Result<Box<dyn Dataset>>,
}

/// What can be asked of the pictures of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tasks {
    /// Names of the task to predict its labels, the usual one first; none where it has no labels,
    /// or tests on other classes than it trains on. Where a path must be given, how it is written.
    pub targets: &'static [&'static str],
    /// The data set to draw few-shot episodes from: itself, or the same one split by classes.
    pub episodes: Option<&'static str>,
    /// Whether it says who is in a picture, for verification. Readers of files of any content
    /// (`folder:PATH`) say so though a file may have none.
    pub identities: bool,
}

const NO_TASKS: Tasks = Tasks { targets: &[], episodes: None, identities: false };

/// All data sets, in the order in which help texts list them.
pub static DATASETS: [DatasetEntry; 25] = [
    DatasetEntry {
        name: "toy-faces",
        form: "toy-faces[:PEOPLE]",
        description: "rendered faces with known attributes and identities, built in",
        folders: &[],
        tasks: Tasks {
            targets: &["toy-faces", "toy-faces-attrs"],
            episodes: Some("toy-faces"),
            identities: true,
        },
        open: open_toy_faces,
    },
    DatasetEntry {
        name: "celeba",
        form: "celeba[:PATH]",
        description: "CelebA: faces of celebrities, 40 attributes, 10,177 identities",
        folders: &[
            "celeba",
            "CelebA",
            "celeba-dataset",
            "img_align_celeba",
            "img_align_celeba_png",
        ],
        tasks: Tasks {
            targets: &["celeba-attrs", "celeba"],
            episodes: Some("celeba"),
            identities: true,
        },
        open: |request| match request.published() {
            Ok(path) => Ok(Box::new(CelebA::open(&path, request.options.partition.as_deref())?)),
            Err(_) => hub::open_celeba(request.options),
        },
    },
    DatasetEntry {
        name: "cifar10",
        form: "cifar10[:PATH]",
        description: "CIFAR-10: 32×32 pictures of ten classes",
        folders: &[
            "cifar10",
            "cifar-10",
            "cifar-10-batches-bin",
            "cifar-10-batches-py",
            "cifar-10-binary",
            "cifar-10-python",
        ],
        tasks: Tasks { targets: &["cifar10"], episodes: Some("cifar10"), identities: false },
        open: |request| request.cifar(CifarSet::Cifar10),
    },
    DatasetEntry {
        name: "cifar100",
        form: "cifar100[:PATH]",
        description: "CIFAR-100: 32×32 pictures, without labels",
        folders: CIFAR_100,
        tasks: NO_TASKS,
        open: |request| request.cifar(CifarSet::Cifar100),
    },
    DatasetEntry {
        name: "cifar100-fine",
        form: "cifar100-fine[:PATH]",
        description: "CIFAR-100 with its 100 classes",
        folders: CIFAR_100,
        tasks: Tasks {
            targets: &["cifar100-fine"],
            episodes: Some("cifar100-fine"),
            identities: false,
        },
        open: |request| request.cifar(CifarSet::Cifar100Fine),
    },
    DatasetEntry {
        name: "cifar100-coarse",
        form: "cifar100-coarse[:PATH]",
        description: "CIFAR-100 with its 20 groups of classes",
        folders: CIFAR_100,
        tasks: Tasks {
            targets: &["cifar100-coarse"],
            episodes: Some("cifar100-coarse"),
            identities: false,
        },
        open: |request| request.cifar(CifarSet::Cifar100Coarse),
    },
    idx(
        "mnist",
        "mnist[:PATH]",
        "MNIST: 28×28 handwritten digits",
        &["mnist", "MNIST"],
        &["mnist"],
    ),
    idx(
        "fashion-mnist",
        "fashion-mnist[:PATH]",
        "Fashion-MNIST: 28×28 pictures of ten kinds of clothes",
        &["fashion-mnist", "FashionMNIST", "fashion_mnist", "fashionmnist"],
        &["fashion-mnist"],
    ),
    idx(
        "kmnist",
        "kmnist[:PATH]",
        "KMNIST: 28×28 handwritten hiragana",
        &["kmnist", "KMNIST"],
        &["kmnist"],
    ),
    DatasetEntry {
        name: "emnist",
        form: "emnist[:PATH]",
        description: "EMNIST where only one of the following is there",
        folders: EMNIST,
        tasks: NO_TASKS,
        open: open_emnist,
    },
    idx(
        "emnist-balanced",
        "emnist-balanced[:PATH]",
        "EMNIST: 28×28 handwritten digits and letters, 47 balanced classes",
        EMNIST,
        &["emnist-balanced"],
    ),
    idx(
        "emnist-byclass",
        "emnist-byclass[:PATH]",
        "EMNIST in 62 classes",
        EMNIST,
        &["emnist-byclass"],
    ),
    idx(
        "emnist-bymerge",
        "emnist-bymerge[:PATH]",
        "EMNIST in 47 classes",
        EMNIST,
        &["emnist-bymerge"],
    ),
    idx("emnist-letters", "emnist-letters[:PATH]", "EMNIST: letters", EMNIST, &["emnist-letters"]),
    idx("emnist-digits", "emnist-digits[:PATH]", "EMNIST: digits", EMNIST, &["emnist-digits"]),
    idx(
        "emnist-mnist",
        "emnist-mnist[:PATH]",
        "EMNIST: digits, as many as MNIST has",
        EMNIST,
        &["emnist-mnist"],
    ),
    DatasetEntry {
        name: "lfw",
        form: "lfw[:PATH]",
        description: "Labeled Faces in the Wild, with the published pairs of its view 2",
        folders: &[
            "lfw",
            "lfw_home",
            "lfw-py",
            "lfw-funneled",
            "lfw_funneled",
            "lfw-deepfunneled",
            "lfw-dataset",
        ],
        tasks: Tasks { targets: &[], episodes: Some("lfw"), identities: true },
        open: |request| Ok(Box::new(Lfw::open(&request.published()?)?)),
    },
    DatasetEntry {
        name: "omniglot",
        form: "omniglot[:PATH]",
        description: "Omniglot: handwritten characters of 50 alphabets, and its one-shot runs",
        folders: &["omniglot", "omniglot-py"],
        tasks: Tasks { targets: &[], episodes: Some("omniglot"), identities: false },
        open: |request| Ok(Box::new(Omniglot::open(&request.published()?)?)),
    },
    DatasetEntry {
        name: "tiny-imagenet",
        form: "tiny-imagenet[:PATH]",
        description: "Tiny ImageNet: 64×64 pictures of 200 classes, official splits",
        folders: TINY_IMAGENET,
        tasks: Tasks {
            targets: &["tiny-imagenet"],
            // The official splits test on the classes they train on.
            episodes: Some("tiny-imagenet-fewshot"),
            identities: false,
        },
        open: |request| request.tiny_imagenet(TinyImageNetSplits::Official),
    },
    DatasetEntry {
        name: "tiny-imagenet-fewshot",
        form: "tiny-imagenet-fewshot[:PATH]",
        description: "Tiny ImageNet, split by classes",
        folders: TINY_IMAGENET,
        tasks: NO_TASKS,
        open: |request| request.tiny_imagenet(TinyImageNetSplits::FewShot),
    },
    DatasetEntry {
        name: "folder",
        form: "folder:PATH",
        description: "pictures in folders named like their classes, or in one; or an archive of them",
        folders: &[],
        tasks: Tasks { targets: &["folder:PATH"], episodes: Some("folder"), identities: true },
        open: |request| {
            let options = request.options;
            Ok(Box::new(Folder::open_splits(
                &request.root()?,
                &options.split_folders,
                options.seed,
            )?))
        },
    },
    DatasetEntry {
        name: "npy",
        form: "npy:FILE",
        description: "pictures in one array of numpy's, of bytes, whole numbers or floats",
        folders: &[],
        tasks: NO_TASKS,
        open: |request| Ok(Box::new(Arrays::open_npy(&request.root()?, request.options)?)),
    },
    DatasetEntry {
        name: "npz",
        form: "npz:FILE",
        description: "arrays of pictures and labels, named as in MedMNIST or Keras",
        folders: &[],
        tasks: Tasks { targets: &["npz:FILE"], episodes: Some("npz"), identities: false },
        open: |request| Ok(Box::new(Arrays::open_npz(&request.root()?, request.options)?)),
    },
    DatasetEntry {
        name: "csv",
        form: "csv:FILE",
        description: "a table of pictures' files and what is known about them",
        folders: &[],
        tasks: Tasks { targets: &["csv:FILE"], episodes: Some("csv"), identities: true },
        open: |request| {
            let OpenOptions { seed, targets, table, .. } = request.options;
            Ok(Box::new(CsvTable::open(&request.root()?, *seed, targets, table)?))
        },
    },
    DatasetEntry {
        name: "hf",
        form: "hf:OWNER/REPO",
        description: "a data set of the Hugging Face hub, as Parquet",
        folders: &[],
        tasks: Tasks { targets: &["hf:OWNER/REPO"], episodes: Some("hf"), identities: true },
        open: |request| {
            let address = request.spec.split_once(':').map_or("", |(_, address)| address);
            hub::open(address, request.options)
        },
    },
];

const CIFAR_100: &[&str] = &["cifar100", "cifar-100", "cifar-100-binary", "cifar-100-python"];
const EMNIST: &[&str] = &["emnist", "EMNIST"];

/// An entry of [`IdxSet`].
const fn idx(
    name: &'static str,
    form: &'static str,
    description: &'static str,
    folders: &'static [&'static str],
    targets: &'static [&'static str],
) -> DatasetEntry {
    let tasks = Tasks { targets, episodes: Some(name), identities: false };
    DatasetEntry { name, form, description, folders, tasks, open: open_idx }
}

/// Of 64×64 pixels, as published, or scaled down.
const TINY_IMAGENET: &[&str] =
    &["tiny-imagenet", "tiny-imagenet-200", "tiny-imagenet-32", "tinyimagenet", "tinyimagenet32"];

impl DatasetEntry {
    /// The entry of what [`open`] would open: `celeba` of `celeba:/data/celeba`.
    pub fn of(spec: &str) -> Option<&'static Self> {
        let (name, _) = parse(spec);
        DATASETS.iter().find(|entry| entry.name == name)
    }

    /// Whether its name alone does not say what it is: a path must follow.
    pub fn needs_path(&self) -> bool {
        !self.form.contains("[:")
    }
}

/// What an entry opens: a name as it was given, taken apart, and the options.
struct Request<'a> {
    spec: &'a str,
    name: &'a str,
    given: Option<PathBuf>,
    options: &'a OpenOptions,
}

impl Request<'_> {
    /// The path of a data set that is not looked for in the collection.
    fn root(&self) -> Result<PathBuf> {
        let root = self.given.clone().or_else(|| self.options.data_root.clone());
        root.ok_or_else(|| Error::NoPath { dataset: self.name.to_owned() })
    }

    fn published(&self) -> Result<PathBuf> {
        locate(self.spec, self.options)
    }

    fn cifar(&self, set: CifarSet) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(Cifar::open(&self.published()?, set)?))
    }

    fn tiny_imagenet(&self, splits: TinyImageNetSplits) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(TinyImageNet::open(&self.published()?, splits, self.options.seed)?))
    }

    fn unknown(&self) -> Error {
        let forms: Vec<&str> = DATASETS.iter().map(|entry| entry.form).collect();
        Error::UnknownDataset { found: self.spec.to_owned(), expected: forms.join(", ") }
    }
}

fn open_idx(request: &Request<'_>) -> Result<Box<dyn Dataset>> {
    let set = IdxSet::named(request.name).ok_or_else(|| request.unknown())?;
    Ok(Box::new(Mnist::open(&request.published()?, set)?))
}

/// EMNIST, where there is no choice of its splits.
fn open_emnist(request: &Request<'_>) -> Result<Box<dyn Dataset>> {
    let path = request.published()?;
    let parts = Mnist::parts_of_emnist(&path)?;
    match parts[..] {
        [set] => Ok(Box::new(Mnist::open(&path, set)?)),
        _ => {
            let found: Vec<&str> = parts.iter().map(|set| set.name).collect();
            let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
            let expected = "files of one split, or a name such as emnist-letters";
            Err(Error::layout("emnist", &path, expected, found))
        }
    }
}

fn open_toy_faces(request: &Request<'_>) -> Result<Box<dyn Dataset>> {
    let [usual, valid, test] = ToyFaces::PEOPLE;
    let people = request.given.as_deref().map_or(Some(usual), number_of_people);
    let people = people.ok_or_else(|| request.unknown())?;
    Ok(Box::new(ToyFaces::with_people(request.options.seed, [people, valid, test])))
}

/// What decides how a data set is opened, beside its name.
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

/// Opens a data set by its name in one of the forms of [`DATASETS`], such as `celeba:PATH` or
/// `hf:OWNER/REPO[@REVISION][/CONFIG]`.
///
/// `toy-faces:PEOPLE` has as many people to train on as it says, 20 pictures of each; the first of
/// them are those of `toy-faces`, and the other splits are the same.
///
/// Where a data set lies is decided as by [`locate`]; `folder`, `npy`, `npz` and `csv` are not looked for
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
    let request = Request { spec, name, given, options };
    let entry = DatasetEntry::of(spec).ok_or_else(|| request.unknown())?;
    (entry.open)(&request)
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

/// Name and path of `NAME:PATH`. Shells leave a `~` after the colon alone; it is the home folder.
fn parse(spec: &str) -> (&str, Option<PathBuf>) {
    let (name, path) = spec.split_once(':').unwrap_or((spec, ""));
    let below_home = path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let at_home =
        below_home.and_then(|rest| Some(std::env::home_dir()?.join(rest.trim_start_matches('/'))));
    (name, at_home.or_else(|| Some(path).filter(|path| !path.is_empty()).map(PathBuf::from)))
}

/// The folder or archive of a data set in the collection, where it exists.
fn in_collection(options: &OpenOptions, name: &str) -> Option<PathBuf> {
    let collection: &Path = options.collection.as_deref()?;
    let stems = DatasetEntry::of(name)?.folders;
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
        assert!(text.contains("celeba:PATH"), "{text}");
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
    fn a_tilde_is_the_home_folder() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(parse("folder:~/a/b").1, Some(home.join("a/b")));
        assert_eq!(parse("csv:~").1, Some(home));
        assert_eq!(parse("folder:~a/b").1, Some("~a/b".into()));
        assert_eq!(parse("folder:a/~").1, Some("a/~".into()));
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
            ("cifar100-fine", "cifar-100-python"),
            ("mnist", "MNIST"),
            ("emnist-letters", "EMNIST"),
            ("celeba", "img_align_celeba.zip"),
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
    fn entries_agree_with_each_other() {
        for entry in &DATASETS {
            assert!(entry.form.starts_with(entry.name) && !entry.description.is_empty());
            assert!(std::ptr::eq(DatasetEntry::of(entry.name).unwrap(), entry), "{}", entry.name);
            let episodes = entry.tasks.episodes.and_then(DatasetEntry::of);
            assert_eq!(episodes.is_some(), entry.tasks.episodes.is_some(), "{}", entry.name);
            let targets = entry.tasks.targets;
            assert!(targets.is_empty() || !entry.needs_path() || targets == [entry.form]);
        }
        assert_eq!(DatasetEntry::of("csv:a/b.csv").unwrap().name, "csv");
        assert!(DatasetEntry::of("celebb").is_none());
    }

    #[test]
    fn the_only_split_of_emnist_needs_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        };
        let spec = format!("emnist:{}", directory.path().display());
        assert!(message(&spec, &OpenOptions::default()).contains("emnist-letters, found none"));
        write(
            "emnist-letters-test-images-idx3-ubyte",
            b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01\x07",
        );
        write("emnist-letters-test-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x03");
        let letters = open(&spec, &OpenOptions::default()).unwrap();
        assert_eq!((letters.name(), letters.len(Split::Test)), ("emnist-letters", 1));
        write("emnist-digits-test-images-idx3-ubyte", b"");
        let text = message(&spec, &OpenOptions::default());
        assert!(text.ends_with("found emnist-letters, emnist-digits"), "{text}");
    }

    #[test]
    fn targets_reach_the_csv_reader() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.png"), crate::fixture::png()).unwrap();
        std::fs::write(directory.path().join("b.png"), crate::fixture::png()).unwrap();
        let path = directory.path().join("x.csv");
        std::fs::write(&path, "path,split,a,b\na.png,test,1,2\nb.png,test,0,3\n").unwrap();
        let options = OpenOptions { targets: vec!["b".parse().unwrap()], ..Default::default() };
        let dataset = open(&format!("csv:{}", path.display()), &options).unwrap();
        let crate::Labels::Classes { names, .. } = dataset.labels(Split::Test) else { panic!() };
        assert_eq!(names, ["2", "3"]);
        assert!(message("csv", &options).contains("csv:PATH"));
    }

    #[test]
    fn the_seed_reaches_the_renderer() {
        let open_seed = |seed| open("toy-faces", &OpenOptions { seed, ..Default::default() });
        let picture = |seed| open_seed(seed).unwrap().image(Split::Train, 0).unwrap();
        assert_ne!(picture(0), picture(1));
    }
}
