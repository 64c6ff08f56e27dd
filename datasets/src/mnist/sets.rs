//! The data sets that are published in the form of MNIST.
//!
//! - Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv 1708.07747.
//! - Clanuwat et al., Deep Learning for Classical Japanese Literature, arXiv 1812.01718: KMNIST.
//! - Cohen, Afshar, Tapson and van Schaik, EMNIST, arXiv 1702.05373. Its files hold every picture
//!   transposed.

/// A data set in the form of MNIST.
#[derive(Debug, PartialEq, Eq)]
pub struct IdxSet {
    /// Its name in the registry.
    pub name: &'static str,
    /// The folder that torchvision keeps it in.
    pub(super) folder: &'static str,
    /// How the names of its training and of its test files begin.
    pub(super) files: [&'static str; 2],
    pub(super) classes: &'static [&'static str],
    /// The number of the first class.
    pub(super) first: u8,
    /// Whether rows of the files are columns of the pictures.
    pub(super) transposed: bool,
    /// Published training and test pictures.
    pub(super) published: [usize; 2],
}

const MNIST: IdxSet = IdxSet {
    name: "mnist",
    folder: "MNIST",
    files: ["train", "t10k"],
    classes: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    first: 0,
    transposed: false,
    published: [60_000, 10_000],
};

const EMNIST: IdxSet = IdxSet { folder: "EMNIST", transposed: true, ..MNIST };

/// Digits, capitals, and the small letters that do not look like their capitals.
const BALANCED: &[&str] = &[
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I",
    "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b",
    "d", "e", "f", "g", "h", "n", "q", "r", "t",
];

const BY_CLASS: &[&str] = &[
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I",
    "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b",
    "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u",
    "v", "w", "x", "y", "z",
];

/// A letter, whether small or capital.
const LETTERS: &[&str] = &[
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x", "y", "z",
];

pub(super) static SETS: [IdxSet; 9] = [
    MNIST,
    IdxSet {
        name: "fashion-mnist",
        folder: "FashionMNIST",
        classes: &[
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ],
        ..MNIST
    },
    IdxSet {
        name: "kmnist",
        folder: "KMNIST",
        classes: &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
        ..MNIST
    },
    IdxSet {
        name: "emnist-balanced",
        files: ["emnist-balanced-train", "emnist-balanced-test"],
        classes: BALANCED,
        published: [112_800, 18_800],
        ..EMNIST
    },
    IdxSet {
        name: "emnist-byclass",
        files: ["emnist-byclass-train", "emnist-byclass-test"],
        classes: BY_CLASS,
        published: [697_932, 116_323],
        ..EMNIST
    },
    IdxSet {
        name: "emnist-bymerge",
        files: ["emnist-bymerge-train", "emnist-bymerge-test"],
        classes: BALANCED,
        published: [697_932, 116_323],
        ..EMNIST
    },
    IdxSet {
        name: "emnist-letters",
        files: ["emnist-letters-train", "emnist-letters-test"],
        classes: LETTERS,
        first: 1,
        published: [124_800, 20_800],
        ..EMNIST
    },
    IdxSet {
        name: "emnist-digits",
        files: ["emnist-digits-train", "emnist-digits-test"],
        published: [240_000, 40_000],
        ..EMNIST
    },
    IdxSet { name: "emnist-mnist", files: ["emnist-mnist-train", "emnist-mnist-test"], ..EMNIST },
];

impl IdxSet {
    /// A set by its name in the registry: `mnist`, `fashion-mnist`, `kmnist`, or `emnist-` with one
    /// of `balanced`, `byclass`, `bymerge`, `letters`, `digits` and `mnist`.
    pub fn named(name: &str) -> Option<&'static Self> {
        SETS.iter().find(|set| set.name == name)
    }
}
