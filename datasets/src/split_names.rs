//! The names that people give to splits, in folders, archives, tables and on the hub alike.

use crate::Split;

/// Words of folders whose pictures have no labels: there to be predicted.
const UNLABELLED: [&str; 6] =
    ["pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled"];

/// The split that a name stands for: `train`, `Training`, `seg_test`, `val2017`, `testImages`.
///
/// A name is taken apart into words; exactly one of them must name a split, in any case of letters.
/// Names that say two things (`train_test`, `trainval`) or nothing (`contest`) stand for none.
///
/// `dev` is a validation split and `eval` a test split, as in `Train/Dev/Eval`.
pub(crate) fn split_named(name: &str) -> Option<Split> {
    split_and_rest(name).map(|(split, _)| split)
}

/// The split that a name stands for and by its words says nothing else: `train_images`, not
/// `seg_train` or `train_station`.
pub(crate) fn plainly_named(name: &str) -> Option<Split> {
    split_and_rest(name).filter(|(_, rest)| rest.is_empty()).map(|(split, _)| split)
}

/// The splits that names beside each other stand for.
///
/// A name with other words in it (`seg_train`, but also the class `train_station`) stands for a
/// split if it is alone, or if beside it is another split of the same words (`seg_test`) or of a
/// plain name.
pub(crate) fn splits_among(names: &[&str]) -> Vec<Option<Split>> {
    let all: Vec<_> = names.iter().map(|name| split_and_rest(name)).collect();
    let of = |(split, rest): &(Split, Vec<String>)| {
        let other = |(other, words): &(Split, Vec<String>)| {
            other != split && (words.is_empty() || words == rest)
        };
        let stands = rest.is_empty() || names.len() == 1 || all.iter().flatten().any(other);
        stands.then_some(*split)
    };
    all.iter().map(|parts| parts.as_ref().and_then(of)).collect()
}

/// Whether a name says that what is in it has no labels.
pub(crate) fn is_unlabelled(name: &str) -> bool {
    words(name).iter().any(|word| UNLABELLED.contains(&word.as_str()))
}

/// The split that one word means.
pub(crate) fn split_word(word: &str) -> Option<Split> {
    match word.to_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "valid" | "val" | "validation" | "dev" => Some(Split::Valid),
        "test" | "testing" | "eval" | "evaluation" => Some(Split::Test),
        _ => None,
    }
}

/// The split, and the words that say neither it nor nothing.
fn split_and_rest(name: &str) -> Option<(Split, Vec<String>)> {
    // `trainset`, `testdata`
    let split_of = |word: &String| {
        let stem = ["set", "data", "images"].iter().find_map(|end| word.strip_suffix(end));
        split_word(word).or_else(|| split_word(stem?))
    };
    let (mut found, mut rest) = (None, Vec::new());
    for word in words(name) {
        match split_of(&word) {
            Some(split) if found.is_some_and(|found| found != split) => return None,
            Some(split) => found = Some(split),
            None if is_plain(&word) => {}
            None => rest.push(word),
        }
    }
    Some((found?, rest))
}

/// Whether a word says nothing about what a folder holds.
fn is_plain(word: &str) -> bool {
    matches!(
        word,
        "data"
            | "dataset"
            | "set"
            | "split"
            | "dir"
            | "directory"
            | "folder"
            | "file"
            | "files"
            | "image"
            | "images"
            | "img"
            | "imgs"
            | "picture"
            | "pictures"
            | "pics"
            | "photos"
            | "sample"
            | "samples"
    )
}

/// Words in small letters: what other characters separate, or capitals within (`trainImages`).
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        if !c.is_alphabetic() || (before.is_lowercase() && c.is_uppercase()) {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_known_by_any_usual_name() {
        for (split, names) in [
            (
                Split::Train,
                "train Training TRAIN seg_train train2017 trainImages images.train trainset",
            ),
            (Split::Valid, "valid val Validation dev DEV val_set my-val valdata"),
            (Split::Test, "test TEST Testing seg_test test2015 eval Eval test_test testA"),
        ] {
            for name in names.split(' ') {
                assert_eq!(split_named(name), Some(split), "{name}");
            }
        }
        for none in
            ["", "cat", "contest", "trainer", "trainval", "train_test", "values", "2017", "étest"]
        {
            assert_eq!(split_named(none), None, "{none}");
        }
    }

    #[test]
    fn other_words_make_a_class_unless_a_split_is_beside() {
        let (train, test) = (Some(Split::Train), Some(Split::Test));
        assert_eq!(splits_among(&["seg_pred", "seg_test", "seg_train"]), [None, test, train]);
        assert_eq!(splits_among(&["train_station", "airport"]), [None, None]);
        assert_eq!(splits_among(&["Val_Kilmer", "Dev_Patel"]), [None, None]);
        assert_eq!(splits_among(&["test_pictures", "cat"]), [test, None]);
        assert_eq!(splits_among(&["animals_train", "test"]), [train, test]);
        assert_eq!(splits_among(&["trainA", "trainB"]), [None, None]);
        assert_eq!(
            splits_among(&["testA", "testB", "trainA", "trainB"]),
            [test, test, train, train]
        );
        assert_eq!(splits_among(&["seg_train"]), [train]);
        assert_eq!(plainly_named("train_images"), train);
        assert_eq!(plainly_named("train_station"), None);
    }

    #[test]
    fn pictures_to_be_predicted_are_known() {
        assert!(
            is_unlabelled("seg_pred") && is_unlabelled("Unlabeled") && !is_unlabelled("predator")
        );
    }
}
