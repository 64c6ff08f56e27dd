//! What differs between CIFAR-10 and CIFAR-100.

use std::fmt;

use crate::names::base;

/// A data set of the two, and which of its labels are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CifarSet {
    /// Ten classes.
    Cifar10,
    /// CIFAR-100 without labels: which of the two kinds is wanted is not to be guessed.
    Cifar100,
    /// CIFAR-100, a hundred classes.
    Cifar100Fine,
    /// CIFAR-100, twenty classes of five fine ones each.
    Cifar100Coarse,
}

impl fmt::Display for CifarSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The two official versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Binary,
    Python,
}

impl CifarSet {
    /// Its name in the registry.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Cifar100Fine => "cifar100-fine",
            Self::Cifar100Coarse => "cifar100-coarse",
        }
    }

    /// Names of its classes, in the published order.
    pub(super) fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Cifar10 => &TEN,
            Self::Cifar100 => &[],
            Self::Cifar100Fine => &FINE,
            Self::Cifar100Coarse => &COARSE,
        }
    }

    /// The name of its labels in the Python version.
    pub(super) fn pickled_labels(self) -> Option<&'static str> {
        match self {
            Self::Cifar10 => Some("labels"),
            Self::Cifar100 => None,
            Self::Cifar100Fine => Some("fine_labels"),
            Self::Cifar100Coarse => Some("coarse_labels"),
        }
    }

    /// Bytes of labels before the pixels of a record: the class, or the coarse and the fine one.
    pub(super) fn label_bytes(self) -> usize {
        if self == Self::Cifar10 { 1 } else { 2 }
    }

    /// Which of those bytes is meant.
    pub(super) fn label_byte(self) -> Option<usize> {
        match self {
            Self::Cifar10 | Self::Cifar100Coarse => Some(0),
            Self::Cifar100Fine => Some(1),
            Self::Cifar100 => None,
        }
    }

    /// How the names of its official archives begin.
    pub(super) fn archives(self) -> [&'static str; 2] {
        match self {
            Self::Cifar10 => ["cifar-10-binary", "cifar-10-python"],
            _ => ["cifar-100-binary", "cifar-100-python"],
        }
    }

    /// Names of the training files, for messages.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Cifar10 => "data_batch_*.bin, or data_batch_* of the Python version",
            _ => "train.bin, or train of the Python version",
        }
    }

    /// The version of a file, and whether it is of the training set.
    pub(super) fn batch_of(self, name: &str) -> Option<(Version, bool)> {
        let base = base(name);
        let (stem, version) = match base.strip_suffix(".bin") {
            Some(stem) => (stem, Version::Binary),
            None => (base, Version::Python),
        };
        let numbered = stem.strip_prefix("data_batch_");
        match (self, numbered) {
            (Self::Cifar10, Some("1" | "2" | "3" | "4" | "5")) => Some((version, true)),
            (Self::Cifar10, None) if stem == "test_batch" => Some((version, false)),
            (Self::Cifar10, _) => None,
            _ if stem == "train" || stem == "test" => Some((version, stem == "train")),
            _ => None,
        }
    }
}

/// In the order of `batches.meta.txt`.
const TEN: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// In the order of `coarse_label_names.txt`.
const COARSE: [&str; 20] = [
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

/// In the order of `fine_label_names.txt`.
#[rustfmt::skip]
const FINE: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
];
