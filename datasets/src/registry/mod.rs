//! The data sets: the one place that knows them by name.
//!
//! **To add a data set**, write its reader beside this file: a type that implements [`Dataset`],
//! opened from a path. [`FileStore`](crate::store::FileStore) reads a folder or an archive of the
//! published layout alike, [`Fingerprint`](crate::fingerprint::Fingerprint) identifies what was
//! found, and `names` and `ranking` sort and split it; `mnist/mod.rs` is a short example. Then add one entry to [`DATASETS`]: its name, how it is written, a line about
//! it, its folder's names in a collection, what can be asked of it, and how it is opened. Help,
//! `--data`, `--task` and their messages read that table; nothing outside this crate changes.

mod entry;
mod options;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::{
    Arrays, CelebA, CifarSet, CsvTable, Dataset, Error, Folder, Lfw, Omniglot, Result,
    TinyImageNetSplits, hub,
};
pub use entry::{DatasetEntry, Tasks};
use entry::{Request, idx, lies, open_emnist, open_toy_faces, parse};
pub use options::OpenOptions;

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
        open: |request| hub::open(request.address, request.options),
    },
];

const CIFAR_100: &[&str] = &["cifar100", "cifar-100", "cifar-100-binary", "cifar-100-python"];
const EMNIST: &[&str] = &["emnist", "EMNIST"];

/// Of 64×64 pixels, as published, or scaled down.
const TINY_IMAGENET: &[&str] =
    &["tiny-imagenet", "tiny-imagenet-200", "tiny-imagenet-32", "tinyimagenet", "tinyimagenet32"];

impl DatasetEntry {
    /// The entry of what [`open`] would open: `celeba` of `celeba:/data/celeba`.
    pub fn of(spec: &str) -> Option<&'static Self> {
        let (name, _) = parse(spec);
        DATASETS.iter().find(|entry| entry.name == name)
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
    let entry = DatasetEntry::of(spec).ok_or_else(|| {
        let forms: Vec<&str> = DATASETS.iter().map(|entry| entry.form).collect();
        Error::UnknownDataset { found: spec.to_owned(), expected: forms.join(", ") }
    })?;
    let address = spec.split_once(':').map_or("", |(_, address)| address);
    (entry.open)(&Request { entry, address, given: parse(spec).1, options })
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
    let folders = DatasetEntry::of(spec).map_or(&[][..], |entry| entry.folders);
    lies(name, given, folders, options)
}
