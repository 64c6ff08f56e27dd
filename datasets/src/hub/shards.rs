//! Which Parquet files of a repository hold which split.
//!
//! The card of a repository says it, or else names do: `data/train-00000-of-00002.parquet`,
//! `CONFIG/train-00000-of-00019.parquet`, `CONFIG/train/0000.parquet`. Splits of other names than the
//! usual ones (`train_extra`, `unsupervised`) are not mixed with them.

use std::collections::{BTreeMap, BTreeSet};

use vdvae_hub::{Card, CardConfig};

use crate::Split;
use crate::split_names::{split_named, split_word};

/// The Parquet files of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shards {
    /// Name of the configuration; empty where there is only one.
    pub(super) config: String,
    /// Files of train, valid and test, as published, in the order of the card or of their names.
    pub(super) files: [Vec<String>; 3],
    /// Splits that have other names than usual, and those that are left out.
    pub(super) remarks: Vec<String>,
}

/// Names of published splits and their files. One without a name has the files that nothing says of
/// which split they are.
type Groups = Vec<(String, Vec<String>)>;

impl Shards {
    /// Finds the files of a configuration; with several, `wanted` must name one, unless the card
    /// says which is the usual one, or one is called `default`. `None` where it has no Parquet file;
    /// the error says what was found.
    pub(super) fn find(
        names: &[String],
        card: &Card,
        wanted: Option<&str>,
    ) -> Result<Option<Self>, String> {
        let parquet: Vec<String> =
            names.iter().filter(|name| name.ends_with(".parquet")).cloned().collect();
        let config = chosen(card, wanted)?;
        let inside = |file: &&String| config.is_none_or(|config| config.holds(file));
        let inside: Vec<String> = parquet.iter().filter(inside).cloned().collect();
        let listed = config.and_then(|config| config.splits(&inside));
        let (config, groups) = match (config, listed) {
            (Some(config), Some(groups)) => (config.name.clone(), groups),
            (Some(config), None) if config.folder().is_some() => {
                let groups = grouped(inside.iter().map(|file| (place(file).1, file)));
                (config.name.clone(), groups)
            }
            _ if inside.is_empty() => return Ok(None),
            _ => {
                let known = card.configs.iter().map(|config| config.name.as_str());
                by_names(&inside, wanted, known.collect())?
            }
        };
        if groups.iter().all(|(_, files)| files.is_empty()) {
            return Ok(None);
        }
        let lacks =
            |(name, files): &&(String, _)| Vec::is_empty(files) && split_named(name).is_some();
        if let Some((name, _)) = groups.iter().find(lacks) {
            return Err(format!("none of the split `{name}`, which the card lists"));
        }
        roles(config, groups).map(Some)
    }

    /// One file, from which all splits are drawn.
    pub(super) fn single(file: &str) -> Self {
        let files = [vec![file.to_owned()], vec![], vec![]];
        Self { config: String::new(), files, remarks: Vec::new() }
    }

    /// The name of a file that is missing among `names`: shards of a split count themselves,
    /// `-00003-of-00019`.
    pub(super) fn gap(&self, names: &[String]) -> Option<String> {
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        self.files.iter().flatten().find_map(|name| {
            let (stem, number, count) = numbered(name)?;
            let width = number.len();
            let count: usize = count.parse().ok()?;
            // A claim beyond this is no count of shards.
            (0..count.min(100_000))
                .map(|i| format!("{stem}-{i:0width$}-of-{count:0width$}.parquet"))
                .find(|file| !known.contains(&file[..]))
        })
    }
}

/// The configuration of the card that is meant; none where the card has none, or not this one.
pub(super) fn chosen<'a>(
    card: &'a Card,
    wanted: Option<&str>,
) -> Result<Option<&'a CardConfig>, String> {
    let named = |name: &str| card.configs.iter().find(|config| config.name == name);
    match (wanted, &card.configs[..]) {
        (Some(wanted), _) => Ok(named(wanted)),
        (None, []) => Ok(None),
        (None, [config]) => Ok(Some(config)),
        (None, configs) => {
            let usual = configs.iter().find(|config| config.default).or_else(|| named("default"));
            usual.map(Some).ok_or_else(|| {
                let known: Vec<&str> = configs.iter().map(|config| &config.name[..]).collect();
                several(&known)
            })
        }
    }
}

fn several(configs: &[&str]) -> String {
    format!("the configurations {}; add one as /CONFIG", configs.join(", "))
}

/// The files of a configuration, by the names of folders and files; `known` are configurations of
/// the card.
fn by_names(
    files: &[String],
    wanted: Option<&str>,
    known: BTreeSet<&str>,
) -> Result<(String, Groups), String> {
    let mut configs: BTreeMap<String, Vec<(String, &String)>> = BTreeMap::new();
    for file in files {
        let (config, split) = place(file);
        configs.entry(config).or_default().push((split, file));
    }
    let chosen = match wanted {
        Some(wanted) => wanted,
        None if configs.len() == 1 => configs.keys().next().expect("there is one"),
        None if configs.contains_key("") => "",
        None => "default",
    };
    match configs.get(chosen) {
        Some(files) => Ok((chosen.to_owned(), grouped(files.iter().cloned()))),
        None => {
            let mut known = known;
            known.extend(configs.keys().map(String::as_str).filter(|name| !name.is_empty()));
            match known.is_empty() {
                true => Err("only files in no configuration".to_owned()),
                false => Err(several(&known.into_iter().collect::<Vec<_>>())),
            }
        }
    }
}

/// Files by the name of their split, in the order of their names.
fn grouped<'a>(files: impl Iterator<Item = (String, &'a String)>) -> Groups {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (split, file) in files {
        groups.entry(split).or_default().push(file.clone());
    }
    groups.values_mut().for_each(|files| files.sort_unstable());
    groups.into_iter().collect()
}

/// Decides which published split serves as which: the one of a usual name (`train`), or the only one
/// that has it among its words (`train_v2`). Others are left out; where several could be meant, that
/// is an error.
fn roles(config: String, groups: Groups) -> Result<Shards, String> {
    let mut shards = Shards { config, ..Shards::default() };
    let mut groups: Groups = groups.into_iter().filter(|(_, files)| !files.is_empty()).collect();
    for split in Split::ALL {
        let like = |named: fn(&str) -> Option<Split>| -> Vec<usize> {
            let groups = groups.iter().enumerate();
            groups.filter(|(_, (name, _))| named(name) == Some(split)).map(|(at, _)| at).collect()
        };
        let (usual, other) = (like(split_word), like(split_named));
        let at = match (&usual[..], &other[..]) {
            ([at], _) => *at,
            ([], []) => continue,
            ([], [at]) => {
                shards.remarks.push(format!("the split `{}` serves as {split}", groups[*at].0));
                *at
            }
            ([], several) | (several, _) => {
                let names: Vec<&str> = several.iter().map(|&at| groups[at].0.as_str()).collect();
                return Err(format!("{}, each of which could be {split}", names.join(", ")));
            }
        };
        shards.files[split.position()] = groups.remove(at).1;
    }
    if shards.files.iter().all(Vec::is_empty) {
        // Nothing says what a split is: all of it is for fitting.
        match &groups[..] {
            [(name, _)] => {
                if !name.is_empty() {
                    shards.remarks.push(format!("the split `{name}` serves as train"));
                }
                shards.files[0] = groups.remove(0).1;
            }
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                return Err(format!("the splits {}, none of which is train", names.join(", ")));
            }
        }
    }
    if !groups.is_empty() {
        let left_out: Vec<String> = groups
            .into_iter()
            .map(|(name, files)| if name.is_empty() { files.join(", ") } else { name })
            .collect();
        shards.remarks.push(format!("left out, of no known split: {}", left_out.join(", ")));
    }
    Ok(shards)
}

/// `x-00003-of-00019.parquet` as (`x`, `00003`, `00019`).
fn numbered(name: &str) -> Option<(&str, &str, &str)> {
    let (rest, count) = name.strip_suffix(".parquet")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    Some((stem, number, count))
}

/// The configuration and the split that a path names; either may be empty.
fn place(path: &str) -> (String, String) {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let sharded = numbered(file).map(|(stem, ..)| stem);
    let stem = sharded.unwrap_or_else(|| file.strip_suffix(".parquet").unwrap_or(file));
    let unnumbered = stem.trim_end_matches(|c: char| c.is_ascii_digit() || "-_.".contains(c));
    let mut folders: Vec<&str> =
        folders.split('/').filter(|folder| !folder.is_empty() && *folder != "data").collect();
    let in_folder = folders.iter().rposition(|folder| split_named(folder).is_some());
    // As the hub converts: `CONFIG/SPLIT/0000.parquet`.
    let converted = (unnumbered.is_empty() && folders.len() > 1).then(|| folders.len() - 1);
    let split = match (in_folder.or(converted), sharded) {
        _ if split_named(stem).is_some() => {
            if sharded.is_some() {
                stem
            } else {
                unnumbered
            }
        }
        (Some(at), _) => {
            let folder = folders.remove(at);
            folder.strip_prefix("partial-").unwrap_or(folder)
        }
        (None, Some(stem)) => stem,
        (None, None) => "",
    };
    folders.retain(|folder| split_word(folder).is_none());
    (folders.join("/"), split.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_with(names: &[&str], wanted: Option<&str>) -> Result<Shards, String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Ok(Shards::find(&names, &Card::default(), wanted)?.unwrap())
    }

    fn find(names: &[&str]) -> Shards {
        find_with(names, None).unwrap()
    }

    #[test]
    fn celeba_as_it_is_on_the_hub() {
        let config = "img_align+identity+attr";
        let names = ["test-00000-of-00001", "train-00001-of-00002", "train-00000-of-00002"];
        let mut names: Vec<String> =
            names.iter().map(|name| format!("{config}/{name}.parquet")).collect();
        names.push("README.md".into());
        let of = |names: &[String]| {
            Shards::find(names, &Card::default(), Some(config)).unwrap().unwrap()
        };
        let shards = of(&names);
        assert_eq!(shards.config, config);
        assert_eq!(shards.files[0], [names[2].clone(), names[1].clone()]);
        assert_eq!((shards.files[1].len(), shards.files[2].len()), (0, 1));
        assert_eq!(shards.gap(&names), None);
        names.remove(2);
        let gap = of(&names).gap(&names).unwrap();
        assert_eq!(gap, format!("{config}/train-00000-of-00002.parquet"));
    }

    #[test]
    fn other_layouts() {
        let shards = find(&["data/train.parquet", "data/validation.parquet"]);
        assert_eq!((shards.files[0].len(), shards.files[1].len()), (1, 1));
        let shards = find(&["default/train/0000.parquet", "default/partial-test/0000.parquet"]);
        assert_eq!((shards.files[0].len(), shards.files[2].len()), (1, 1));
        assert_eq!((shards.config.as_str(), shards.remarks.len()), ("default", 0));
        // Without any split, all of it is for fitting.
        assert_eq!(find(&["a.parquet", "b.parquet"]).files[0].len(), 2);
        let shards = find(&["train_0.parquet", "train_1.parquet", "test.parquet"]);
        assert_eq!((shards.files[0].len(), shards.remarks.len()), (2, 0));
    }

    #[test]
    fn splits_of_other_names_are_not_mixed_in() {
        let shards = find(&[
            "data/train-00000-of-00001.parquet",
            "data/train_extra-00000-of-00001.parquet",
            "data/unsupervised-00000-of-00001.parquet",
            "data/test_a-00000-of-00001.parquet",
        ]);
        assert_eq!(shards.files[0], ["data/train-00000-of-00001.parquet"]);
        assert_eq!(shards.files[2], ["data/test_a-00000-of-00001.parquet"]);
        let remarks = [
            "the split `test_a` serves as test",
            "left out, of no known split: train_extra, unsupervised",
        ];
        assert_eq!(shards.remarks, remarks);
        let shards = find(&["c/train/0000.parquet", "c/unsupervised/0000.parquet"]);
        assert_eq!(shards.files[0], ["c/train/0000.parquet"]);
        assert_eq!(shards.remarks, ["left out, of no known split: unsupervised"]);
        let found = find_with(&["train.parquet", "test_a.parquet", "test_b.parquet"], None);
        assert_eq!(found.unwrap_err(), "test_a, test_b, each of which could be test");
        let found = find_with(&["a-0-of-1.parquet", "b-0-of-1.parquet"], None);
        assert_eq!(found.unwrap_err(), "the splits a, b, none of which is train");
        let shards = find(&["labelled-0-of-1.parquet"]);
        assert_eq!(shards.remarks, ["the split `labelled` serves as train"]);
        let shards = find(&["train.parquet", "extra.parquet"]);
        assert_eq!(shards.remarks, ["left out, of no known split: extra.parquet"]);
    }

    #[test]
    fn several_configurations_want_a_name() {
        let names = ["a/train.parquet", "b/train.parquet"];
        let found = find_with(&names, None).unwrap_err();
        assert_eq!(found, "the configurations a, b; add one as /CONFIG");
        assert_eq!(find_with(&names, Some("b")).unwrap().files[0], ["b/train.parquet"]);
        assert!(find_with(&names, Some("c")).is_err());
        let found = find_with(&["train.parquet"], Some("c")).unwrap_err();
        assert_eq!(found, "only files in no configuration");
        assert_eq!(find(&["a/train.parquet", "default/train.parquet"]).config, "default");
        assert_eq!(Shards::find(&["README.md".into()], &Card::default(), None), Ok(None));
    }
}
