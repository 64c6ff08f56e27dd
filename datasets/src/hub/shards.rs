//! Which Parquet files of a repository hold which split.
//!
//! Repositories of the hub say it by names: `data/train-00000-of-00002.parquet`,
//! `CONFIG/train-00000-of-00019.parquet`, `CONFIG/train/0000.parquet`.

use std::collections::BTreeMap;

use crate::Split;

/// The Parquet files of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shards {
    /// Folder of the configuration; empty where there is only one.
    pub(super) config: String,
    /// Files of train, valid and test, as published, in the order of their names.
    pub(super) files: [Vec<String>; 3],
}

impl Shards {
    /// Finds the files of a configuration; with several, `wanted` must name one, unless one is
    /// called `default`. The error says what was found.
    pub(super) fn find(names: &[String], wanted: Option<&str>) -> Result<Self, String> {
        let mut configs: BTreeMap<String, Vec<(Option<Split>, &String)>> = BTreeMap::new();
        for name in names.iter().filter(|name| name.ends_with(".parquet")) {
            let (config, split) = place(name);
            configs.entry(config).or_default().push((split, name));
        }
        if configs.is_empty() {
            return Err(format!("no Parquet file among its {} files", names.len()));
        }
        let chosen = match wanted {
            Some(wanted) => wanted,
            None if configs.len() == 1 => configs.keys().next().expect("there is one"),
            None if configs.contains_key("") => "",
            None => "default",
        };
        let Some(files) = configs.get(chosen) else {
            let known: Vec<&str> = configs.keys().map(String::as_str).collect();
            return Err(format!("the configurations {}; add one as /CONFIG", known.join(", ")));
        };
        let mut shards = Self { config: chosen.to_owned(), ..Self::default() };
        let named = files.iter().any(|(split, _)| split.is_some());
        for (split, name) in files {
            let split = if named { *split } else { Some(Split::Train) };
            if let Some(split) = split {
                shards.files[split.position()].push((*name).clone());
            }
        }
        shards.files.iter_mut().for_each(|files| files.sort_unstable());
        Ok(shards)
    }

    /// The name of a file that is missing: shards of a split count themselves, `-00003-of-00019`.
    pub(super) fn gap(&self) -> Option<String> {
        self.files.iter().flatten().find_map(|name| {
            let (stem, number, count) = numbered(name)?;
            let width = number.len();
            let count: usize = count.parse().ok()?;
            // A claim beyond this is no count of shards.
            (0..count.min(100_000))
                .map(|i| format!("{stem}-{i:0width$}-of-{count:0width$}.parquet"))
                .find(|file| !self.files.iter().any(|files| files.binary_search(file).is_ok()))
        })
    }
}

/// `x-00003-of-00019.parquet` as (`x`, `00003`, `00019`).
fn numbered(name: &str) -> Option<(&str, &str, &str)> {
    let (rest, count) = name.strip_suffix(".parquet")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    Some((stem, number, count))
}

/// The configuration and the split that a path names.
fn place(path: &str) -> (String, Option<Split>) {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let mut split = split_in(file);
    let mut config = Vec::new();
    for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
        match split_named(folder) {
            Some(found) => split = split.or(Some(found)),
            None if folder == "data" => {}
            None => config.push(folder),
        }
    }
    (config.join("/"), split)
}

fn split_in(file: &str) -> Option<Split> {
    file.split(['-', '_', '.', ' ']).find_map(split_named)
}

/// The names that the hub knows a split by.
fn split_named(name: &str) -> Option<Split> {
    match name.strip_prefix("partial-").unwrap_or(name) {
        "train" | "training" => Some(Split::Train),
        "valid" | "validation" | "val" | "dev" => Some(Split::Valid),
        "test" | "testing" | "eval" | "evaluation" => Some(Split::Test),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(names: &[&str], wanted: Option<&str>) -> Result<Shards, String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Shards::find(&names, wanted)
    }

    #[test]
    fn celeba_as_it_is_on_the_hub() {
        let config = "img_align+identity+attr";
        let names = ["test-00000-of-00001", "train-00001-of-00002", "train-00000-of-00002"];
        let mut names: Vec<String> =
            names.iter().map(|name| format!("{config}/{name}.parquet")).collect();
        names.push("README.md".into());
        let shards = Shards::find(&names, None).unwrap();
        assert_eq!(shards.config, config);
        assert_eq!(shards.files[0], [names[2].clone(), names[1].clone()]);
        assert_eq!((shards.files[1].len(), shards.files[2].len()), (0, 1));
        assert_eq!(shards.gap(), None);
        names.remove(2);
        let gap = Shards::find(&names, Some(config)).unwrap().gap().unwrap();
        assert_eq!(gap, format!("{config}/train-00000-of-00002.parquet"));
    }

    #[test]
    fn other_layouts() {
        let shards = find(&["data/train.parquet", "data/validation.parquet"], None).unwrap();
        assert_eq!((shards.files[0].len(), shards.files[1].len()), (1, 1));
        let converted = ["default/train/0000.parquet", "default/partial-test/0000.parquet"];
        let shards = find(&converted, None).unwrap();
        assert_eq!((shards.files[0].len(), shards.files[2].len()), (1, 1));
        // Without any split, all of it is for fitting; beside named ones, others are not read.
        assert_eq!(find(&["a.parquet", "b.parquet"], None).unwrap().files[0].len(), 2);
        let shards = find(&["train.parquet", "extra.parquet"], None).unwrap();
        assert_eq!(shards.files[0], ["train.parquet"]);
        assert_eq!(shards.gap(), None);
    }

    #[test]
    fn several_configurations_want_a_name() {
        let names = ["a/train.parquet", "b/train.parquet"];
        let found = find(&names, None).unwrap_err();
        assert_eq!(found, "the configurations a, b; add one as /CONFIG");
        assert_eq!(find(&names, Some("b")).unwrap().files[0], ["b/train.parquet"]);
        assert!(find(&names, Some("c")).is_err());
        let names = ["a/train.parquet", "default/train.parquet"];
        assert_eq!(find(&names, None).unwrap().config, "default");
        assert!(find(&["README.md"], None).unwrap_err().contains("no Parquet file"));
    }
}
