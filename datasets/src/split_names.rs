//! The names that people give to splits, in folders, archives, tables and on the hub alike.

use crate::Split;

/// The split that a name stands for: `train`, `Training`, `seg_test`, `val2017`, `images-dev`.
///
/// A name is taken apart into words; exactly one of them must name a split, in any case of letters.
/// Names that say two things (`train_test`, `trainval`) or nothing (`contest`) stand for none.
///
/// `dev` is a validation split and `eval` a test split, as in `Train/Dev/Eval`.
pub(crate) fn split_named(name: &str) -> Option<Split> {
    let words = name.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let mut splits = words.filter_map(split_word);
    let first = splits.next()?;
    splits.all(|other| other == first).then_some(first)
}

/// The split that one word means.
pub(crate) fn split_word(word: &str) -> Option<Split> {
    match word.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "valid" | "val" | "validation" | "dev" => Some(Split::Valid),
        "test" | "testing" | "eval" => Some(Split::Test),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_known_by_any_usual_name() {
        for (split, names) in [
            (Split::Train, "train Training TRAIN seg_train train2017 train-images images.train"),
            (Split::Valid, "valid val Validation dev DEV val_set my-val"),
            (Split::Test, "test TEST Testing seg_test test2015 eval Eval test_test"),
        ] {
            for name in names.split(' ') {
                assert_eq!(split_named(name), Some(split), "{name}");
            }
        }
        for none in ["", "cat", "contest", "trainer", "trainval", "train_test", "values", "2017"] {
            assert_eq!(split_named(none), None, "{none}");
        }
    }
}
