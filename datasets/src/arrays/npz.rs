//! The arrays of an `.npz` file, known by their names.
//!
//! A name has a word for what it holds and, before or after it, one for its split: `train_images`,
//! `train_labels`, `val_images`, … of MedMNIST, or `x_train`, `y_train`, `x_test`, `y_test` of Keras.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::pictures::{ArrayFile, PictureArray};
use super::{Arrays, Part, drawn, of_one};
use crate::archive::spool;
use crate::filter::Filter;
use crate::fingerprint::Fingerprint;
use crate::split_names::split_word;
use crate::{Error, Labels, OpenOptions, Result, Split};

const NAME: &str = "npz";
/// Most classes.
const MAX_CLASSES: usize = 65_536;
/// Most labels of one picture.
const MAX_LABELS: u64 = 4096;

/// The arrays of one split, or of all pictures where there are no splits.
#[derive(Debug, Default)]
struct Set {
    pictures: Option<Arc<PictureArray>>,
    labels: Option<LabelArray>,
}

/// Numbers of pictures.
#[derive(Debug, Clone)]
struct LabelArray {
    /// Numbers of one picture.
    width: usize,
    /// `(N, width)`
    values: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Pictures,
    Labels,
}

impl Arrays {
    /// Opens an `.npz` file, compressed or not: arrays of pictures, as [`Arrays::open_npy`] reads
    /// them, and of labels, by the names of MedMNIST or Keras; or one array named `images`, `x` or
    /// `arr_0`. Labels are one class a picture, or several that are 0 or 1 each.
    ///
    /// # Errors
    /// [`Error::Layout`] where names or labels are others; [`Error::Archive`] for a damaged file;
    /// those of [`Arrays::open_npy`].
    pub fn open_npz(path: &Path, options: &OpenOptions) -> Result<Self> {
        // Before it is read: a change while it is read gives another stamp the next time.
        let metadata = fs::metadata(path).map_err(Error::io(path))?;
        let sets = read(path, options)?;
        let mut remarks: Vec<String> = sets.iter().filter_map(Set::remark).collect();
        let wrong = |expected: &str, found: String| Error::layout(NAME, path, expected, found);
        for set in &sets {
            let found = match (&set.pictures, &set.labels) {
                (None, Some(_)) => "labels without pictures".to_owned(),
                (Some(pictures), Some(l)) if l.values.len() != l.width * pictures.len() => {
                    format!("{} pictures and {} labels", pictures.len(), l.values.len() / l.width)
                }
                _ => continue,
            };
            return Err(wrong("a label for each picture", found));
        }
        let labelled = |labelled| {
            let mut sets = sets.iter().filter(|set| set.pictures.is_some());
            sets.any(|set| set.labels.is_some() == labelled)
        };
        if labelled(true) && labelled(false) {
            return Err(wrong("labels of all pictures, or of none", "some".to_owned()));
        }
        let kind = kind(&sets).map_err(|found| {
            wrong("labels that are classes 0, 1, 2, …, or several of 0 or 1 each", found)
        })?;
        if let Kind::Classes(classes) = &kind
            && labelled(true)
        {
            let of = |at: Option<&u32>| at.map_or_else(String::new, ToString::to_string);
            let (first, last) = (of(classes.first()), of(classes.last()));
            remarks.push(format!("labels are {} classes, {first} to {last}", classes.len()));
        }
        if matches!(kind, Kind::Binary(_)) && sets.iter().all(Set::is_one_hot) {
            let remark = "each picture has one of several labels: they are read as attributes; classes \
                          are labels (N)";
            remarks.push(remark.to_owned());
        }
        let splits = splits(&sets, options, &mut remarks)
            .ok_or_else(|| wrong("pictures to train on", "none".to_owned()))?;
        let splits = splits.map(|(set, part)| match &sets[set].labels {
            Some(labels) => Part { labels: kind.labels(labels, &part.rows), ..part },
            None => part,
        });
        let name = format!("{NAME}:{}", path.display());
        let mut arrays =
            Self { name, splits, fingerprint: String::new(), stamp: String::new(), remarks };
        let pictures = sets.iter().filter_map(|set| set.pictures.as_ref());
        let hash = Fingerprint::new(NAME).dataset(&arrays);
        arrays.fingerprint =
            pictures.fold(hash, |hash, array| hash.fact(array.fingerprint.as_bytes())).hex();
        arrays.stamp = Fingerprint::new(&arrays.fingerprint).file(&metadata).hex();
        Ok(arrays)
    }
}

impl Set {
    fn remark(&self) -> Option<String> {
        self.pictures.as_ref()?.remark()
    }

    /// Whether no picture has other than one of its labels.
    fn is_one_hot(&self) -> bool {
        let one = |row: &[f64]| row.iter().sum::<f64>() == 1.0;
        self.labels.as_ref().is_none_or(|labels| labels.values.chunks(labels.width).all(one))
    }
}

/// The arrays of train, valid and test, and of no split.
fn read(path: &Path, options: &OpenOptions) -> Result<[Set; 4]> {
    let spool = spool(&[path.to_owned()], Filter { wanted: &|_| true, sniff: false })?;
    let file = Arc::new(spool.file);
    let mut sets: [Set; 4] = Default::default();
    for (member, &(offset, length)) in &spool.members {
        let key = member.strip_suffix(".npy").unwrap_or(member);
        let slot = content(key).filter(|&(split, content)| {
            let set = &sets[position(split)];
            match content {
                Content::Pictures => set.pictures.is_none(),
                Content::Labels => set.labels.is_none(),
            }
        });
        let Some((split, content)) = slot else {
            let keys: Vec<&str> =
                spool.members.keys().map(|key| key.trim_end_matches(".npy")).collect();
            let expected = "arrays named as MedMNIST (train_images, train_labels, …), as Keras \
                            (x_train, y_train, …), or images, x or arr_0";
            return Err(Error::layout(NAME, path, expected, keys.join(", ")));
        };
        let array = ArrayFile { path: path.join(key), file: file.clone(), offset, length };
        let set = &mut sets[position(split)];
        match content {
            Content::Pictures => {
                set.pictures = Some(Arc::new(PictureArray::open(array, options.layout)?));
            }
            Content::Labels => set.labels = Some(LabelArray::read(&array)?),
        }
    }
    Ok(sets)
}

fn position(split: Option<Split>) -> usize {
    split.map_or(3, Split::position)
}

/// What an array holds, by its name.
fn content(key: &str) -> Option<(Option<Split>, Content)> {
    let of_word = |word: &str| match word.to_ascii_lowercase().as_str() {
        "images" | "image" | "imgs" | "x" | "data" => Some(Content::Pictures),
        "labels" | "label" | "y" | "targets" => Some(Content::Labels),
        _ => None,
    };
    match key.split('_').collect::<Vec<_>>()[..] {
        ["arr", "0"] => Some((None, Content::Pictures)),
        [word] => Some((None, of_word(word)?)),
        [a, b] => match (split_word(a), split_word(b)) {
            (Some(split), None) => Some((Some(split), of_word(b)?)),
            (None, Some(split)) => Some((Some(split), of_word(a)?)),
            _ => None,
        },
        _ => None,
    }
}

/// The set that each split comes from, and its pictures, yet without labels.
fn splits(
    sets: &[Set; 4],
    options: &OpenOptions,
    remarks: &mut Vec<String>,
) -> Option<[(usize, Part); 3]> {
    const PREFIXES: [&str; 4] = ["train/", "valid/", "test/", ""];
    let array = |set: usize| sets[set].pictures.clone();
    let part = |set: usize, rows| Some((set, Part::new(&array(set)?, PREFIXES[set], rows)));
    let all = |set: usize| part(set, (0..array(set)?.len()).collect());
    if let Some(one) = array(3) {
        if sets[..3].iter().any(|set| set.pictures.is_some()) {
            return None;
        }
        if sets[3].labels.is_none() {
            let (parts, remark) = of_one(&one, PREFIXES[3], options);
            remarks.push(remark.to_owned());
            return Some(parts.map(|part| (3, part)));
        }
        remarks.push("`valid` and `test` are seeded tenths of the array".to_owned());
        let [test, valid, train] = drawn((0..one.len()).collect(), options.seed);
        return Some([part(3, train)?, part(3, valid)?, part(3, test)?]);
    }
    let rows = (0..array(0)?.len()).collect();
    match (array(1).is_some(), array(2).is_some()) {
        (true, true) => Some([all(0)?, all(1)?, all(2)?]),
        (false, true) => {
            remarks.push("`valid` is a seeded tenth of the pictures to train on".to_owned());
            let [valid, train] = drawn(rows, options.seed);
            Some([part(0, train)?, part(0, valid)?, all(2)?])
        }
        (true, false) => {
            let remark = "`test` is what is published as validation, `valid` a seeded tenth of the \
                          pictures to train on";
            remarks.push(remark.to_owned());
            let [valid, train] = drawn(rows, options.seed);
            Some([part(0, train)?, part(0, valid)?, all(1)?])
        }
        (false, false) => {
            remarks.push("`valid` and `test` are seeded tenths of the pictures".to_owned());
            let [test, valid, train] = drawn(rows, options.seed);
            Some([part(0, train)?, part(0, valid)?, part(0, test)?])
        }
    }
}

impl LabelArray {
    /// (N), (N, 1) or (N, labels), in C order.
    fn read(array: &ArrayFile) -> Result<Self> {
        let (header, number) = array.header()?;
        let wrong = |found: String| {
            Error::header(&array.path, "labels (N), (N, 1) or (N, labels), in C order", found)
        };
        let width = match header.shape[..] {
            [_] => 1,
            [_, width @ 1..=MAX_LABELS] => width as usize,
            _ => return Err(wrong(format!("{:?}", header.shape))),
        };
        // One column is the same in both orders.
        if header.fortran && width > 1 {
            return Err(wrong("Fortran order".to_owned()));
        }
        let mut values = Vec::new();
        array.numbers(header.data as u64, number, |_, value| {
            values.push(value);
            Ok(())
        })?;
        Ok(Self { width, values })
    }
}

/// What labels are, the same in all splits.
enum Kind {
    Classes(Vec<u32>),
    Binary(usize),
}

/// Says what is wrong with labels that are neither.
fn kind(sets: &[Set; 4]) -> Result<Kind, String> {
    let arrays = || sets.iter().filter_map(|set| set.labels.as_ref());
    let width = arrays().map(|array| array.width).next().unwrap_or(1);
    if arrays().any(|array| array.width != width) {
        return Err("different numbers of them in different splits".to_owned());
    }
    let mut values = arrays().flat_map(|array| &array.values);
    let class = |value: f64| value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
    let allowed = |value: f64| if width == 1 { class(value) } else { value == 0.0 || value == 1.0 };
    if let Some(value) = values.find(|&&value| !allowed(value)) {
        return Err(value.to_string());
    }
    if width > 1 {
        return Ok(Kind::Binary(width));
    }
    let mut classes: Vec<u32> =
        arrays().flat_map(|array| array.values.iter().map(|&v| v as u32)).collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.len() > MAX_CLASSES {
        return Err(format!("{} different numbers", classes.len()));
    }
    Ok(Kind::Classes(classes))
}

impl Kind {
    fn labels(&self, array: &LabelArray, rows: &[usize]) -> Labels {
        match self {
            Self::Classes(classes) => {
                let label = |&row: &usize| {
                    let class = classes.binary_search(&(array.values[row] as u32));
                    class.expect("the classes are those of all labels") as u32
                };
                let names = classes.iter().map(ToString::to_string).collect();
                Labels::Classes { names, labels: rows.iter().map(label).collect() }
            }
            Self::Binary(width) => {
                let of = |&row: &usize| &array.values[row * width..(row + 1) * width];
                let values = rows.iter().flat_map(of).map(|&value| value as i8).collect();
                let names = (0..*width).map(|label| format!("label_{label}")).collect();
                Labels::Binary { names, values }
            }
        }
    }
}
