//! A data set without splits.

use alphanumeric_sort::compare_str;
use image::RgbImage;
use vdvae_io::Exif;

use crate::fingerprint::Fingerprint;
use crate::{Dataset, Labels, Result, Split};

/// Every picture of a data set once, whatever its split: all of them are in [`Split::Test`].
///
/// They come in the order of their keys as people count, `2.png` before `10.png`. A picture that
/// several splits have is there once.
pub struct Whole {
    inner: Box<dyn Dataset>,
    /// Where its pictures are.
    pictures: Vec<(Split, usize)>,
}

impl Whole {
    /// Of a data set that was opened for all splits.
    pub fn new(inner: Box<dyn Dataset>) -> Self {
        let keyed = |split| {
            let inner = &inner;
            (0..inner.len(split)).map(move |index| (inner.key(split, index), (split, index)))
        };
        let mut keys: Vec<(String, (Split, usize))> =
            Split::ALL.into_iter().flat_map(keyed).collect();
        keys.sort_by(|(a, _), (b, _)| compare_str(a, b).then_with(|| a.cmp(b)));
        keys.dedup_by(|(a, _), (b, _)| a == b);
        let pictures = keys.into_iter().map(|(_, at)| at).collect();
        Self { inner, pictures }
    }

    fn at(&self, split: Split, index: usize) -> Result<(Split, usize)> {
        self.check_index(split, index)?;
        Ok(self.pictures[index])
    }
}

impl Dataset for Whole {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn len(&self, split: Split) -> usize {
        if split == Split::Test { self.pictures.len() } else { 0 }
    }

    fn key(&self, split: Split, index: usize) -> String {
        let (split, index) = self.at(split, index).expect("an index below the number of pictures");
        self.inner.key(split, index)
    }

    fn origin(&self, split: Split, index: usize) -> Split {
        self.at(split, index).expect("an index below the number of pictures").0
    }

    /// None where splits do not know the same of their pictures.
    fn labels(&self, split: Split) -> Labels {
        if self.is_empty(split) {
            return Labels::None;
        }
        let parts = Split::ALL.map(|split| self.inner.labels(split));
        joined(&|split| parts.get(split.position()), &self.pictures).unwrap_or(Labels::None)
    }

    fn groups(&self, split: Split) -> Option<Vec<u64>> {
        let parts = Split::ALL.map(|split| self.inner.groups(split));
        let group =
            |&(split, index): &(Split, usize)| Some(parts[split.position()].as_ref()?[index]);
        (!self.is_empty(split)).then(|| self.pictures.iter().map(group).collect())?
    }

    fn image(&self, split: Split, index: usize) -> Result<RgbImage> {
        let (split, index) = self.at(split, index)?;
        self.inner.image(split, index)
    }

    fn image_with(&self, split: Split, index: usize, exif: Exif) -> Result<RgbImage> {
        let (split, index) = self.at(split, index)?;
        self.inner.image_with(split, index, exif)
    }

    fn render(&self, split: Split, index: usize, size: usize) -> Option<RgbImage> {
        let (split, index) = self.at(split, index).ok()?;
        self.inner.render(split, index, size)
    }

    fn fingerprint(&self) -> String {
        Fingerprint::new("whole").fact(self.inner.fingerprint().as_bytes()).hex()
    }

    fn stamp(&self) -> String {
        Fingerprint::new("whole").fact(self.inner.stamp().as_bytes()).hex()
    }

    fn split_hint(&self) -> String {
        self.inner.split_hint()
    }

    fn remarks(&self) -> Vec<String> {
        self.inner.remarks()
    }
}

/// The labels of pictures of several splits, where all that have pictures know the same of them.
fn joined<'a>(
    of: &dyn Fn(Split) -> Option<&'a Labels>,
    pictures: &[(Split, usize)],
) -> Option<Labels> {
    let (first, _) = pictures.first()?;
    Some(match of(*first)? {
        Labels::None => return None,
        Labels::Binary { names, .. } => {
            let rows = |split| match of(split)? {
                Labels::Binary { names: own, values } if own == names => Some(&**values),
                _ => None,
            };
            Labels::Binary { values: gathered(rows, names.len(), pictures)?, names: names.clone() }
        }
        Labels::Real { names, .. } => {
            let rows = |split| match of(split)? {
                Labels::Real { names: own, values } if own == names => Some(&**values),
                _ => None,
            };
            Labels::Real { values: gathered(rows, names.len(), pictures)?, names: names.clone() }
        }
        Labels::Classes { names, .. } => {
            let rows = |split| match of(split)? {
                Labels::Classes { names: own, labels } if own == names => Some(&**labels),
                _ => None,
            };
            Labels::Classes { labels: gathered(rows, 1, pictures)?, names: names.clone() }
        }
        Labels::Several(kinds) => {
            let kind = |(name, _): &(String, Labels)| {
                let part = |split| match of(split)? {
                    Labels::Several(kinds) => {
                        kinds.iter().find(|(own, _)| own == name).map(|(_, part)| part)
                    }
                    _ => None,
                };
                Some((name.clone(), joined(&part, pictures)?))
            };
            Labels::Several(kinds.iter().map(kind).collect::<Option<_>>()?)
        }
    })
}

/// The rows of pictures, each of so many values.
fn gathered<'a, T: Copy + 'a>(
    of: impl Fn(Split) -> Option<&'a [T]>,
    width: usize,
    pictures: &[(Split, usize)],
) -> Option<Vec<T>> {
    let mut rows = Vec::with_capacity(pictures.len() * width);
    for &(split, index) in pictures {
        rows.extend_from_slice(of(split)?.get(index * width..(index + 1) * width)?);
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::png;
    use crate::{Folder, OpenOptions, ToyFaces, open};

    #[test]
    fn every_picture_is_there_once_with_what_is_known_of_it() {
        let faces = ToyFaces::with_people(0, [3, 2, 2]);
        let of = |split| (faces.labels(split), faces.groups(split).unwrap());
        let known = Split::ALL.map(of);
        let total: usize = Split::ALL.iter().map(|&split| faces.len(split)).sum();
        let whole = Whole::new(Box::new(ToyFaces::with_people(0, [3, 2, 2])));
        assert_eq!(whole.len(Split::Test), total);
        assert!(whole.is_empty(Split::Train) && whole.is_empty(Split::Valid));
        let Labels::Binary { names, values } = whole.labels(Split::Test) else { unreachable!() };
        let groups = whole.groups(Split::Test).unwrap();
        assert_eq!(groups.len(), total);
        for (index, group) in groups.into_iter().enumerate() {
            let key = whole.key(Split::Test, index);
            let (split, at) = Split::ALL
                .into_iter()
                .flat_map(|split| (0..faces.len(split)).map(move |at| (split, at)))
                .find(|&(split, at)| faces.key(split, at) == key)
                .unwrap();
            let (Labels::Binary { values: own, .. }, own_groups) = &known[split.position()] else {
                unreachable!()
            };
            let row = |values: &[i8], at: usize| values[at * names.len()..][..names.len()].to_vec();
            assert_eq!(row(&values, index), row(own, at), "{key}");
            assert_eq!(group, own_groups[at], "{key}");
            assert_eq!(whole.origin(Split::Test, index), split, "{key}");
            assert_eq!(whole.render(Split::Test, index, 8), faces.render(split, at, 8));
        }
        assert_ne!(whole.fingerprint(), faces.fingerprint());
        assert!(whole.image(Split::Test, total).is_err());
        assert!(whole.image(Split::Train, 0).is_err());
    }

    #[test]
    fn pictures_come_as_people_count_and_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10.png", "9.png", "1.png", "b2.png", "b10.png", "0.png"] {
            std::fs::write(folder.path().join(name), png()).unwrap();
        }
        let keys = |whole: &Whole| -> Vec<String> {
            (0..whole.len(Split::Test)).map(|index| whole.key(Split::Test, index)).collect()
        };
        let flat = Whole::new(Box::new(Folder::open(folder.path(), 0).unwrap()));
        assert_eq!(keys(&flat), ["0.png", "1.png", "9.png", "10.png", "b2.png", "b10.png"]);
        // Of an array, `test` is all and the other splits are parts of it.
        let path = folder.path().join("stimuli.npy");
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (12, 2, 2, 3), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(((header.len() + 1) as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.push(b'\n');
        bytes.extend((0..12 * 12).map(|value| value as u8));
        std::fs::write(&path, bytes).unwrap();
        let array = open(&format!("npy:{}", path.display()), &OpenOptions::default()).unwrap();
        let whole = Whole::new(array);
        assert_eq!(keys(&whole), (0..12).map(|row| row.to_string()).collect::<Vec<_>>());
        assert_eq!(whole.image(Split::Test, 11).unwrap().as_raw()[0], 11 * 12);
    }

    #[test]
    fn labels_that_splits_do_not_share_are_left_out() {
        let classes = |names: &[&str], labels: &[u32]| Labels::Classes {
            names: names.iter().map(ToString::to_string).collect(),
            labels: labels.to_vec(),
        };
        let pictures = [(Split::Test, 0), (Split::Train, 1), (Split::Train, 0)];
        let joined = |parts: [Labels; 3]| joined(&|split| parts.get(split.position()), &pictures);
        let (train, test) = (classes(&["a", "b"], &[0, 1]), classes(&["a", "b"], &[1]));
        let whole = classes(&["a", "b"], &[1, 1, 0]);
        assert_eq!(joined([train.clone(), Labels::None, test.clone()]), Some(whole.clone()));
        let several = |part| Labels::Several(vec![("kind:class".to_owned(), part)]);
        let both = [several(train.clone()), Labels::None, several(test)];
        assert_eq!(joined(both), Some(several(whole)));
        let others = [
            classes(&["b", "a"], &[1]),
            Labels::None,
            Labels::Real { names: vec!["a".into(), "b".into()], values: vec![0.0, 1.0] },
        ];
        for other in others {
            assert_eq!(joined([train.clone(), Labels::None, other]), None);
        }
    }
}
