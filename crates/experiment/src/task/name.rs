//! Tasks by name: what is asked, and of which data set.

use std::fmt;
use std::str::FromStr;

use vdvae_datasets::{DATASETS, DatasetEntry};

use crate::error::{Error, Result};

/// A task by its name, such as `celeba-attrs` or `omniglot-5way-1shot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskName {
    /// As it was written.
    pub text: String,
    /// What the registry of data sets calls the data set.
    pub dataset: String,
    /// What is asked.
    pub kind: TaskKind,
}

/// What is asked of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskKind {
    /// Predict the labels of pictures.
    Targets,
    /// Tell new classes apart from a few pictures of each, in sampled episodes.
    FewShot {
        /// Classes of an episode.
        ways: usize,
        /// Labelled pictures of each.
        shots: usize,
    },
    /// The published one-shot runs of Omniglot.
    PublishedRuns,
    /// Tell whether two pictures show one person, in sampled pairs.
    Verification,
    /// The same in the published pairs of LFW.
    PublishedPairs,
}

impl TaskName {
    /// The forms of names, a list for messages and help: what the registry of data sets offers.
    pub fn forms() -> String {
        let targets = DATASETS.iter().filter_map(|entry| entry.tasks.targets.first());
        let mut forms: Vec<String> = targets.map(|&name| name.to_owned()).collect();
        forms.extend(["DATA-Nway-Kshot".to_owned(), "omniglot-runs".to_owned()]);
        let faces = DATASETS.iter().filter(|entry| entry.tasks.identities && !entry.needs_path());
        forms.extend(faces.map(|entry| format!("{}-verification", entry.name)));
        forms.join(", ")
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for TaskName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wrong = || Error::UnknownTask { expected: Self::forms(), found: name.to_owned() };
        let task =
            |dataset: &str, kind| Self { text: name.to_owned(), dataset: dataset.to_owned(), kind };
        match name {
            "omniglot-runs" => return Ok(task("omniglot", TaskKind::PublishedRuns)),
            "lfw-verification" => return Ok(task("lfw", TaskKind::PublishedPairs)),
            _ => {}
        }
        if let Some((data, ways, shots)) = episodes(name) {
            let dataset = few_shot_data(data).ok_or_else(wrong)?;
            return Ok(task(dataset, TaskKind::FewShot { ways, shots }));
        }
        if let Some(data) = name.strip_suffix("-verification") {
            let known = entry(data).is_some_and(|entry| entry.tasks.identities);
            return known.then(|| task(data, TaskKind::Verification)).ok_or_else(wrong);
        }
        targets_data(name).map(|dataset| task(dataset, TaskKind::Targets)).ok_or_else(wrong)
    }
}

/// `DATA-Nway-Kshot`.
fn episodes(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, shots) = name.strip_suffix("shot")?.rsplit_once('-')?;
    let (data, ways) = rest.strip_suffix("way")?.rsplit_once('-')?;
    Some((data, ways.parse().ok()?, shots.parse().ok()?))
}

/// The data set that `data` names, with a path where it needs one and only there.
fn entry(data: &str) -> Option<&'static DatasetEntry> {
    let entry = DatasetEntry::of(data)?;
    let has_path = data.split_once(':').is_some_and(|(_, path)| !path.is_empty());
    (has_path == entry.needs_path()).then_some(entry)
}

/// The data set to draw episodes from.
fn few_shot_data(data: &str) -> Option<&str> {
    let entry = entry(data)?;
    let episodes = entry.tasks.episodes?;
    Some(if episodes == entry.name { data } else { episodes })
}

/// The data set whose labels are predicted.
fn targets_data(name: &str) -> Option<&str> {
    match entry(name).filter(|entry| entry.needs_path()) {
        Some(entry) => (!entry.tasks.targets.is_empty()).then_some(name),
        None => {
            let mut entries = DATASETS.iter().filter(|entry| !entry.needs_path());
            let entry = entries.find(|entry| entry.tasks.targets.contains(&name))?;
            Some(entry.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_asked() {
        let parsed = |name: &str| {
            let task: TaskName = name.parse().unwrap();
            assert_eq!(task.to_string(), name);
            (task.dataset, task.kind)
        };
        let of = |name: &str, kind| (name.to_owned(), kind);
        assert_eq!(parsed("celeba-attrs"), of("celeba", TaskKind::Targets));
        assert_eq!(parsed("csv:a-5way.csv"), of("csv:a-5way.csv", TaskKind::Targets));
        let five = TaskKind::FewShot { ways: 5, shots: 1 };
        assert_eq!(parsed("omniglot-5way-1shot"), of("omniglot", five));
        assert_eq!(parsed("folder:a-b-5way-1shot"), of("folder:a-b", five));
        let twenty = TaskKind::FewShot { ways: 20, shots: 5 };
        assert_eq!(parsed("tiny-imagenet-20way-5shot"), of("tiny-imagenet-fewshot", twenty));
        assert_eq!(parsed("omniglot-runs"), of("omniglot", TaskKind::PublishedRuns));
        assert_eq!(parsed("toy-faces-verification"), of("toy-faces", TaskKind::Verification));
        assert_eq!(parsed("lfw-verification"), of("lfw", TaskKind::PublishedPairs));
    }

    #[test]
    fn other_names_list_what_there_is() {
        for name in
            ["", "folder:", "omniglot", "imagenet-5way-1shot", "mnist-verification", "x-way"]
        {
            let message = name.parse::<TaskName>().unwrap_err().to_string();
            assert!(message.contains("DATA-Nway-Kshot"), "{message}");
            assert!(message.ends_with(&format!("found `{name}`")), "{message}");
        }
    }
}
