//! What is asked of the features: targets of pictures, episodes of few labels, or whether two
//! pictures show one person.

use anyhow::Result;

use crate::common::usage;

/// What `--task` accepts, for messages.
const TASKS: &str = "toy-faces, celeba-attrs, cifar10, mnist, tiny-imagenet, folder:PATH, \
                     csv:FILE, hf:OWNER/REPO, DATA-Nway-Kshot, omniglot-runs, lfw-verification, \
                     celeba-verification or toy-faces-verification";

/// A task by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// As the user wrote it.
    pub(super) name: String,
    /// What the registry calls the data set.
    pub(super) dataset: String,
    pub(super) kind: Kind,
}

/// Kinds of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Predict the labels of pictures.
    Targets,
    /// Tell new classes apart from a few pictures of each.
    FewShot { ways: usize, shots: usize },
    /// The published one-shot runs of Omniglot.
    OmniglotRuns,
    /// Tell whether two pictures show one person.
    Verification,
}

impl Task {
    pub(super) fn parse(name: &str) -> Result<Self> {
        let wrong = || usage(format!("--task: expected {TASKS}, found `{name}`"));
        let task = |dataset: String, kind| Self { name: name.to_owned(), dataset, kind };
        if name == "omniglot-runs" {
            return Ok(task("omniglot".into(), Kind::OmniglotRuns));
        }
        if let Some((data, ways, shots)) = episodes(name) {
            let dataset = few_shot_data(data).ok_or_else(wrong)?;
            return Ok(task(dataset, Kind::FewShot { ways, shots }));
        }
        if let Some(data) = name.strip_suffix("-verification") {
            let known = matches!(data, "lfw" | "celeba" | "toy-faces") || with_path(data);
            return known.then(|| task(data.to_owned(), Kind::Verification)).ok_or_else(wrong);
        }
        targets_data(name).map(|dataset| task(dataset, Kind::Targets)).ok_or_else(wrong)
    }
}

/// `DATA-Nway-Kshot`.
fn episodes(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, shots) = name.strip_suffix("shot")?.rsplit_once('-')?;
    let (data, ways) = rest.strip_suffix("way")?.rsplit_once('-')?;
    Some((data, ways.parse().ok()?, shots.parse().ok()?))
}

/// A data set with a path of its own, which has any name.
fn with_path(data: &str) -> bool {
    ["folder:", "csv:", "hf:"]
        .iter()
        .any(|prefix| data.strip_prefix(prefix).is_some_and(|path| !path.is_empty()))
}

/// Data sets whose classes, or people, episodes are drawn from.
fn few_shot_data(data: &str) -> Option<String> {
    match data {
        // The split by classes; the official one tests on the classes it trains on.
        "tiny-imagenet" => Some("tiny-imagenet-fewshot".into()),
        "omniglot" | "toy-faces" | "celeba" | "lfw" | "cifar10" | "mnist" => Some(data.into()),
        _ => with_path(data).then(|| data.into()),
    }
}

/// Data sets whose labels are predicted.
fn targets_data(name: &str) -> Option<String> {
    match name {
        "toy-faces" | "toy-faces-attrs" => Some("toy-faces".into()),
        "celeba" | "celeba-attrs" => Some("celeba".into()),
        "cifar10" | "mnist" | "tiny-imagenet" => Some(name.into()),
        _ => with_path(name).then(|| name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_asked() {
        let parsed = |name: &str| {
            let task = Task::parse(name).unwrap();
            assert_eq!(task.name, name);
            (task.dataset, task.kind)
        };
        let of = |name: &str, kind| (name.to_owned(), kind);
        assert_eq!(parsed("celeba-attrs"), of("celeba", Kind::Targets));
        assert_eq!(parsed("csv:a-5way.csv"), of("csv:a-5way.csv", Kind::Targets));
        let five = Kind::FewShot { ways: 5, shots: 1 };
        assert_eq!(parsed("omniglot-5way-1shot"), of("omniglot", five));
        assert_eq!(parsed("folder:a-b-5way-1shot"), of("folder:a-b", five));
        let twenty = Kind::FewShot { ways: 20, shots: 5 };
        assert_eq!(parsed("tiny-imagenet-20way-5shot"), of("tiny-imagenet-fewshot", twenty));
        assert_eq!(parsed("omniglot-runs"), of("omniglot", Kind::OmniglotRuns));
        assert_eq!(parsed("toy-faces-verification"), of("toy-faces", Kind::Verification));
    }

    #[test]
    fn other_names_list_what_there_is() {
        for name in
            ["", "folder:", "omniglot", "imagenet-5way-1shot", "mnist-verification", "x-way"]
        {
            let message = Task::parse(name).unwrap_err().to_string();
            assert!(message.contains("DATA-Nway-Kshot"), "{message}");
            assert!(message.ends_with(&format!("found `{name}`")), "{message}");
        }
    }
}
