//! Where the pictures of a folder belong: the split and the class that its folders say.

use std::collections::{BTreeMap, BTreeSet};

use super::SplitFolder;
use crate::Split;
use crate::left_out::list;
use crate::names::clean;
use crate::split_names::{is_unlabelled, plainly_named, split_named, splits_among};

/// Most folders that a tree in a message lists.
const LISTED: usize = 12;

/// A picture and what its folders say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) file: &'a str,
    /// The first folder below the split.
    pub(super) class: Option<&'a str>,
}

/// Pictures by split, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    pub(super) splits: [Vec<Placed<'a>>; 3],
    /// Whether the folders say nothing of splits; all pictures are in the first one.
    pub(super) unsplit: bool,
    pub(super) remarks: Vec<String>,
}

/// What was expected and found where folders cannot be understood.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) expected: String,
    pub(super) found: String,
}

/// A folder of a split.
struct Group<'a> {
    split: Split,
    files: Vec<&'a str>,
    /// Length of what stands before the class in the names of its files.
    prefix: usize,
}

/// Places pictures by the names of the folders that they lie in.
pub(super) fn by_names<'a>(files: &[&'a str]) -> Result<Layout<'a>, Misfit> {
    let root = wrappers(files);
    let tops = tops(files, root);
    let names: Vec<&str> = tops.keys().copied().filter(|top| !top.is_empty()).collect();
    let splits: BTreeMap<&str, Split> = std::iter::zip(&names, splits_among(&names))
        .filter_map(|(name, split)| Some((*name, split?)))
        .collect();
    if splits.is_empty() {
        return without_splits(files, root, &names);
    }
    let misfit = |expected| Err(misfit(expected, files, root));
    if !splits.values().any(|&split| split == Split::Train) {
        return misfit("training pictures beside those of other splits");
    }
    let unlabelled = |top: &str| is_unlabelled(top) && !splits.contains_key(top);
    if tops.keys().any(|top| !splits.contains_key(top) && !unlabelled(top)) {
        return misfit("every picture in a folder of its split");
    }
    if splits.values().collect::<BTreeSet<_>>().len() < splits.len() {
        return misfit("one folder of each split");
    }
    let group = |(top, &split): (&&str, &Split)| {
        let files = files.iter().copied().filter(|file| self::top(file, root) == *top);
        Group { split, files: files.collect(), prefix: root + top.len() + 1 }
    };
    let mut groups: Vec<Group> = splits.iter().map(group).collect();
    enter_wrappers(&mut groups);
    if groups.iter().any(|group| names_split(&group.files, group.prefix)) {
        return misfit("no folder of a split within a split or a class");
    }
    let left_out = tops.iter().filter(|(top, _)| unlabelled(top));
    let remark = |(top, count): (&&str, &usize)| {
        format!("left out pictures without labels, by the name of their folder ({count}): {top}")
    };
    let mut layout = placed(&groups);
    layout.remarks.extend(left_out.map(remark));
    Ok(layout)
}

/// Places pictures in the splits that the user named folders of.
pub(super) fn as_told<'a>(
    files: &[&'a str],
    folders: &[SplitFolder],
) -> Result<Layout<'a>, Misfit> {
    let mut groups: Vec<Group> = Vec::new();
    let mut told = vec![0; files.len()];
    for SplitFolder { split, folder } in folders {
        let inside = match clean(folder) {
            Ok(name) if name.is_empty() => name,
            Ok(name) => name + "/",
            Err(expected) => return Err(Misfit { expected, found: folder.clone() }),
        };
        let mut group = Group { split: *split, files: Vec::new(), prefix: inside.len() };
        for (file, told) in files.iter().zip(&mut told) {
            if file.starts_with(&inside) {
                group.files.push(*file);
                *told += 1;
            }
        }
        if group.files.is_empty() {
            return Err(misfit(&format!("pictures of {split} in {folder}"), files, 0));
        }
        groups.push(group);
    }
    if let Some((twice, _)) = files.iter().zip(&told).find(|(_, told)| **told > 1) {
        let expected = "folders of splits apart from each other".to_owned();
        return Err(Misfit { expected, found: format!("{twice} in two of them") });
    }
    enter_wrappers(&mut groups);
    let mut layout = placed(&groups);
    let outside = told.iter().filter(|told| **told == 0).count();
    if outside > 0 {
        layout
            .remarks
            .push(format!("left out pictures outside of the splits' folders ({outside})"));
    }
    Ok(layout)
}

/// No folder at the top is a split: either none is at all, or every class has splits of its own.
fn without_splits<'a>(
    files: &[&'a str],
    root: usize,
    names: &[&str],
) -> Result<Layout<'a>, Misfit> {
    let mut layout = match names_split(files, root) {
        true => splits_in_classes(files, root)?,
        false => {
            let all = Group { split: Split::Train, files: files.to_vec(), prefix: root };
            Layout { unsplit: true, ..placed(&[all]) }
        }
    };
    let like_splits = names.iter().filter(|name| split_named(name).is_some());
    let like_splits: Vec<String> = like_splits.map(|name| (*name).to_owned()).collect();
    if !like_splits.is_empty() {
        layout.remarks.push(format!("taken for classes, not for splits: {}", list(&like_splits)));
    }
    Ok(layout)
}

/// `CLASS/train/…`, `CLASS/test/…`: every class has the same splits, and no folders in them, which could
/// be the classes.
fn splits_in_classes<'a>(files: &[&'a str], root: usize) -> Result<Layout<'a>, Misfit> {
    let misfit = || {
        let expected =
            "folders of splits at the top, or in every class, the same and of pictures only";
        misfit(expected, files, root)
    };
    let mut layout = Layout::default();
    let mut classes: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    let mut all: Option<BTreeSet<Split>> = None;
    for file in files {
        classes.entry(top(file, root)).or_default().push(*file);
    }
    if classes.contains_key("") {
        return Err(misfit());
    }
    for (class, files) in classes {
        let inside = root + class.len() + 1;
        let tops = tops(&files, inside);
        let names: Vec<&str> = tops.keys().copied().collect();
        let splits = splits_among(&names);
        let distinct = splits.iter().flatten().copied().collect::<BTreeSet<_>>();
        let same = *all.get_or_insert_with(|| distinct.clone()) == distinct;
        if splits.contains(&None) || distinct.len() < names.len() || !same {
            return Err(misfit());
        }
        for file in &files {
            let name = top(file, inside);
            let at = names.binary_search(&name).expect("all were collected above");
            let split = splits[at].expect("checked above");
            if !top(file, inside + name.len() + 1).is_empty() {
                return Err(misfit());
            }
            let class = Some(&file[root..root + class.len()]);
            layout.splits[split.position()].push(Placed { file, class });
        }
    }
    match layout.splits[Split::Train.position()].is_empty() {
        true => Err(misfit()),
        false => Ok(layout),
    }
}

/// Length of the single folders that archives and people put around everything.
///
/// A folder is skipped only if more folders follow: one with one class is not a wrapper. One that is
/// named like a split is one only if there are folders of several splits in it.
fn wrappers(files: &[&str]) -> usize {
    let mut root = 0;
    while let Some(folder) = lone_folder(files, root) {
        let inside = root + folder.len() + 1;
        let tops = tops(files, inside);
        if tops.contains_key("") {
            break;
        }
        if split_named(folder).is_some() {
            let names: Vec<&str> = tops.keys().copied().collect();
            let splits = splits_among(&names);
            if splits.iter().flatten().collect::<BTreeSet<_>>().len() < 2 {
                break;
            }
        }
        root = inside;
    }
    root
}

/// Skips folders around all that is in a split: of the same name or split (`seg_train/seg_train`),
/// or the same in all splits (`train/images/CLASS`, `test/images/CLASS`).
fn enter_wrappers(groups: &mut [Group<'_>]) {
    loop {
        let mut entered = false;
        for group in &mut *groups {
            let own = group.files[0][..group.prefix].trim_end_matches('/');
            let own = own.rsplit('/').next().unwrap_or_default();
            let lone = lone_folder(&group.files, group.prefix);
            let again = |name: &&str| *name == own || plainly_named(name) == Some(group.split);
            if let Some(lone) = lone.filter(again) {
                group.prefix += lone.len() + 1;
                entered = true;
            }
        }
        let lone = |group: &Group<'_>| {
            let lone = lone_folder(&group.files, group.prefix)?.to_owned();
            let deeper = !tops(&group.files, group.prefix + lone.len() + 1).contains_key("");
            deeper.then_some(lone)
        };
        if let Some(first) = lone(&groups[0])
            && split_named(&first).is_none()
            && groups.iter().all(|group| lone(group).as_deref() == Some(&first))
        {
            groups.iter_mut().for_each(|group| group.prefix += first.len() + 1);
            entered = true;
        }
        if !entered {
            return;
        }
    }
}

fn placed<'a>(groups: &[Group<'a>]) -> Layout<'a> {
    let mut layout = Layout::default();
    for Group { split, files, prefix } in groups {
        let class = |file: &'a str| Some(top(file, *prefix)).filter(|class| !class.is_empty());
        let pictures = files.iter().map(|file| Placed { file, class: class(file) });
        layout.splits[split.position()].extend(pictures);
    }
    layout.splits.iter_mut().for_each(|split| split.sort_by_key(|picture| picture.file));
    let below = groups.iter().flat_map(|group| below_classes(group)).collect::<BTreeSet<_>>();
    if !below.is_empty() {
        let below = list(&below);
        layout
            .remarks
            .push(format!("a class is the first folder; those in it say nothing: {below}"));
    }
    layout
}

/// Folders in class folders that pictures lie in: `CLASS/FOLDER`.
fn below_classes(group: &Group<'_>) -> impl Iterator<Item = String> {
    group.files.iter().filter_map(|file| {
        let mut folders = file[group.prefix..].rsplit_once('/')?.0.splitn(3, '/');
        Some(format!("{}/{}", folders.next()?, folders.next()?))
    })
}

/// The folder that a name has after so many bytes; empty where it is in none.
fn top(file: &str, prefix: usize) -> &str {
    file[prefix..].split_once('/').map_or("", |(top, _)| top)
}

/// The folders after so many bytes, and how many pictures are in each.
fn tops<'a>(files: &[&'a str], prefix: usize) -> BTreeMap<&'a str, usize> {
    let mut tops = BTreeMap::new();
    files.iter().for_each(|file| *tops.entry(top(file, prefix)).or_default() += 1);
    tops
}

/// The only folder after so many bytes, where all files are in it.
fn lone_folder<'a>(files: &[&'a str], prefix: usize) -> Option<&'a str> {
    let first = top(files.first()?, prefix);
    let lone = !first.is_empty() && files.iter().all(|file| top(file, prefix) == first);
    lone.then_some(first)
}

/// Whether a folder after so many bytes is plainly named like a split.
fn names_split(files: &[&str], prefix: usize) -> bool {
    let folders = files.iter().filter_map(|file| Some(file[prefix..].rsplit_once('/')?.0));
    let folders: BTreeSet<&str> = folders.collect();
    folders.iter().any(|folder| folder.split('/').any(|part| plainly_named(part).is_some()))
}

/// `train (12), bus (6), car (6)`.
fn misfit(expected: &str, files: &[&str], root: usize) -> Misfit {
    let tops = tops(files, root);
    let text = |(top, count): (&&str, &usize)| match *top {
        "" => format!("no folder ({count})"),
        top => format!("{top} ({count})"),
    };
    let mut tree: Vec<String> = tops.iter().take(LISTED).map(text).collect();
    if tops.len() > LISTED {
        tree.push(format!("{} more", tops.len() - LISTED));
    }
    let around = files.first().map_or("", |file| &file[..root]);
    let around = if around.is_empty() { String::new() } else { format!("in {around}: ") };
    Misfit { expected: expected.to_owned(), found: around + &tree.join(", ") }
}
