//! The card of a data set: what the front matter of its `README.md` says of files, splits and
//! classes.
//!
//! See "Configure the dataset" in the hub's documentation. Of `configs`, the keys `config_name`,
//! `default`, `data_dir` and `data_files` are read, of `dataset_info` the names of classes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use fast_glob::glob_match;
use serde::Deserialize;

use crate::{Error, Result};

/// Longest front matter, in bytes; ImageNet's, with a thousand names, has 60 kB.
const MAX_BYTES: u64 = 4 << 20;

/// Most patterns of files; cards of many configurations have some hundreds.
const MAX_PATTERNS: usize = 4096;

/// Names of the classes of columns, by column.
pub type ClassNames = BTreeMap<String, Vec<String>>;

/// The card of a data set; empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Configurations, in the order of the card.
    pub configs: Vec<CardConfig>,
    /// Names of classes by column, for a configuration or, without a name, for all.
    classes: Vec<(Option<String>, ClassNames)>,
}

/// One configuration of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardConfig {
    /// Its name.
    pub name: String,
    /// Whether it is the one to take where none is named.
    pub default: bool,
    /// The folder that its files lie in.
    folder: Option<String>,
    /// Names of splits and the patterns of their files.
    splits: Vec<(String, Vec<String>)>,
}

impl Card {
    /// Reads a `README.md`.
    ///
    /// # Errors
    /// [`Error::Table`] where its front matter is not what a card has; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(Error::io(path))?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(Error::io(path))?;
        Self::parse(&String::from_utf8_lossy(&bytes)).map_err(|found| Error::Table {
            path: path.to_owned(),
            expected: "a card that says in YAML which files there are".into(),
            found,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Some(yaml) = front_matter(text) else { return Ok(Self::default()) };
        let options = serde_saphyr::options! {
            // As in Python.
            duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
            with_snippet: false,
        };
        let matter: Option<FrontMatter> = serde_saphyr::from_str_with_options(yaml, options)
            .map_err(|error| error.to_string().split_whitespace().collect::<Vec<_>>().join(" "))?;
        let FrontMatter { configs, dataset_info } = matter.unwrap_or_default();
        let configs: Vec<_> = configs.unwrap_or_default().into_iter().map(Config::check).collect();
        let splits = configs.iter().flat_map(|config: &CardConfig| &config.splits);
        // Each is compared with every file of the repository.
        let patterns: usize = splits.map(|(_, patterns)| patterns.len()).sum();
        if patterns > MAX_PATTERNS {
            return Err(format!("{patterns} patterns of files, where {MAX_PATTERNS} are read"));
        }
        let infos = dataset_info.map(OneOrMany::into_vec).unwrap_or_default();
        let classes = infos.into_iter().map(|info| (info.config_name.clone(), info.classes()));
        Ok(Self { configs, classes: classes.collect() })
    }

    /// Names of the classes of every column that has some, in a configuration.
    pub fn classes(&self, config: &str) -> ClassNames {
        let of = |name: Option<&str>| self.classes.iter().find(|(of, _)| of.as_deref() == name);
        of(Some(config))
            .or_else(|| of(None))
            .map(|(_, classes)| classes.clone())
            .unwrap_or_default()
    }
}

impl CardConfig {
    /// The files of every split that the card lists, those of a pattern in the order of their names;
    /// `None` where it lists none.
    pub fn splits(&self, files: &[String]) -> Option<Vec<(String, Vec<String>)>> {
        let matching = |patterns: &Vec<String>| {
            let (mut found, mut known) = (Vec::new(), BTreeSet::new());
            for pattern in patterns {
                let pattern = self.full(pattern);
                let matches =
                    |file: &&String| self.holds(file) && glob_match(&pattern, file.as_str());
                let mut names: Vec<&String> = files.iter().filter(matches).collect();
                names.sort_unstable();
                found.extend(names.into_iter().filter(|name| known.insert(*name)).cloned());
            }
            found
        };
        let splits = self.splits.iter().map(|(name, patterns)| (name.clone(), matching(patterns)));
        (!self.splits.is_empty()).then(|| splits.collect())
    }

    /// The folder of its files, where the card gives one.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }

    /// Whether a file lies in the folder of the configuration.
    pub fn holds(&self, file: &str) -> bool {
        self.folder.as_ref().is_none_or(|folder| {
            file.strip_prefix(&**folder).is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// A pattern from the root of the repository.
    fn full(&self, pattern: &str) -> String {
        let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
        match &self.folder {
            Some(folder) => format!("{folder}/{pattern}"),
            None => pattern.to_owned(),
        }
    }
}

/// The text between two lines `---`.
fn front_matter(text: &str) -> Option<&str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rest = text.strip_prefix("---")?;
    let rest = rest.strip_prefix('\r').unwrap_or(rest).strip_prefix('\n')?;
    let mut start = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some(&rest[..start]);
        }
        start += line.len();
    }
    None
}

/// What is read of the front matter; keys that are not here are not looked at.
#[derive(Debug, Default, Deserialize)]
struct FrontMatter {
    configs: Option<Vec<Config>>,
    dataset_info: Option<OneOrMany<Info>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Config {
    config_name: String,
    #[serde(default)]
    default: bool,
    data_dir: Option<String>,
    data_files: Option<DataFiles>,
}

/// Patterns of one split, of several as a list, or of several as a table.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum DataFiles {
    Patterns(OneOrMany<String>),
    Splits(Vec<SplitFiles>),
    Table(BTreeMap<String, OneOrMany<String>>),
}

#[derive(Debug, Deserialize)]
struct SplitFiles {
    split: String,
    path: OneOrMany<String>,
}

impl Config {
    fn check(self) -> CardConfig {
        let splits = match self.data_files {
            None => Vec::new(),
            Some(DataFiles::Patterns(patterns)) => vec![("train".to_owned(), patterns.into_vec())],
            Some(DataFiles::Splits(splits)) => {
                splits.into_iter().map(|split| (split.split, split.path.into_vec())).collect()
            }
            Some(DataFiles::Table(splits)) => {
                splits.into_iter().map(|(split, patterns)| (split, patterns.into_vec())).collect()
            }
        };
        let folder = self
            .data_dir
            .map(|folder| folder.trim_start_matches("./").trim_matches('/').to_owned());
        let folder = folder.filter(|folder| !folder.is_empty() && folder != ".");
        CardConfig { name: self.config_name, default: self.default, folder, splits }
    }
}

#[derive(Debug, Deserialize)]
struct Info {
    config_name: Option<String>,
    #[serde(default)]
    features: Vec<Feature>,
}

#[derive(Debug, Deserialize)]
struct Feature {
    name: Option<String>,
    dtype: Option<FeatureType>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FeatureType {
    Class { class_label: ClassLabel },
    Other(serde::de::IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct ClassLabel {
    names: Option<Names>,
}

/// A list, or a table from numbers to names, which the hub writes in quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Quoted(BTreeMap<String, String>),
    Table(BTreeMap<usize, String>),
}

impl Names {
    /// The names in the order of their numbers, which have no gap.
    fn in_order(self) -> Option<Vec<String>> {
        let table: BTreeMap<usize, String> = match self {
            Self::List(names) => return Some(names),
            Self::Quoted(names) => {
                let number = |(number, name): (String, String)| Some((number.parse().ok()?, name));
                names.into_iter().map(number).collect::<Option<_>>()?
            }
            Self::Table(names) => names,
        };
        let whole = table.keys().copied().eq(0..table.len());
        whole.then(|| table.into_values().collect())
    }
}

impl Info {
    /// Columns with classes whose names are numbered without a gap.
    fn classes(self) -> ClassNames {
        let names = |feature: Feature| {
            let Some(FeatureType::Class { class_label }) = feature.dtype else { return None };
            let names = class_label.names?.in_order()?;
            Some((feature.name?, names))
        };
        self.features.into_iter().filter_map(names).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(yaml: &str) -> Card {
        Card::parse(&format!("---\nlicense: mit\n{yaml}\n---\n# Title\n")).unwrap()
    }

    fn files() -> Vec<String> {
        let names = [
            "README.md",
            "data/test-00000-of-00001.parquet",
            "data/train-00001-of-00002.parquet",
            "data/train-00000-of-00002.parquet",
            "data/train_extra-00000-of-00001.parquet",
            "more/a/b/x.parquet",
            "more/y.parquet",
        ];
        names.map(str::to_owned).to_vec()
    }

    fn splits(yaml: &str) -> Vec<(String, Vec<String>)> {
        card(yaml).configs[0].splits(&files()).unwrap()
    }

    #[test]
    fn splits_have_the_files_of_their_patterns() {
        let found = splits(
            "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n  \
             - split: train_extra\n    path:\n    - data/train_extra-*\n    - more/**/*.parquet",
        );
        let train = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"];
        assert_eq!(found[0], ("train".into(), train.map(str::to_owned).to_vec()));
        assert_eq!(found[1].0, "train_extra");
        let extra = ["data/train_extra-00000-of-00001.parquet", "more/a/b/x.parquet"];
        assert_eq!(found[1].1[..2], extra);
        let found = splits("configs:\n- config_name: x\n  data_files: 'data/{train,test}-*'");
        assert_eq!((found[0].0.as_str(), found[0].1.len()), ("train", 3));
        let table =
            "configs:\n- config_name: x\n  data_dir: ./more/\n  data_files:\n    test: '*.parquet'";
        assert_eq!(splits(table), [("test".to_owned(), vec!["more/y.parquet".to_owned()])]);
        let folder = card("configs:\n- config_name: x\n  data_dir: more\n  default: true");
        assert_eq!(folder.configs[0].splits(&files()), None);
        assert!(folder.configs[0].default && folder.configs[0].holds("more/y.parquet"));
        assert!(!folder.configs[0].holds("moreover/y.parquet"));
    }

    #[test]
    fn classes_have_their_names() {
        let feature = |names: &str| {
            format!(
                "  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n      class_label:\n        names:\n{names}"
            )
        };
        let numbered = feature("          '1': dog\n          '0': cat");
        let plain = feature("          1: dog\n          0: cat");
        let listed = feature("        - cat\n        - dog");
        let expected = BTreeMap::from([("label".to_owned(), vec!["cat".to_owned(), "dog".into()])]);
        for names in [&numbered, &plain, &listed] {
            assert_eq!(card(&format!("dataset_info:\n{names}")).classes("default"), expected);
        }
        let of_config = card(&format!("dataset_info:\n- config_name: a\n{numbered}"));
        assert_eq!(of_config.classes("a"), expected);
        assert!(of_config.classes("b").is_empty());
        let gap = feature("          '0': cat\n          '2': dog");
        assert!(card(&format!("dataset_info:\n{gap}")).classes("x").is_empty());
    }

    #[test]
    fn a_card_may_say_nothing_and_a_broken_one_says_where() {
        for text in
            ["", "# CelebA", "---\n", "---\nno end", "---\n---\n", "---\nlicense: mit\n---\n"]
        {
            assert_eq!(Card::parse(text), Ok(Card::default()), "{text}");
        }
        let wrong = |yaml: &str| Card::parse(&format!("---\n{yaml}\n---\n")).unwrap_err();
        for yaml in
            ["configs: 3", "configs:\n- data_files: x", "a: [", "configs:\n- config_name: {}"]
        {
            let found = wrong(yaml);
            assert!(!found.contains('\n') && !found.is_empty(), "{found}");
        }
        // Names that stand for ever more names.
        let bomb: String =
            (1..30).map(|i| format!("a{i}: &a{i} [{0}, {0}]\n", format!("*a{}", i - 1))).collect();
        wrong(&format!("a0: &a0 x\n{bomb}configs: *a29"));
    }
}
