//! What stands for `hub` in a build without that feature: nothing can be downloaded.

use crate::{Dataset, Error, OpenOptions, Result};

const CELEBA_REPOSITORY: &str = "flwrlabs/celeba";

/// How the hub is reached: not at all, in a build without the feature `hub`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubOptions {}

impl HubOptions {
    /// What the environment says, which is nothing here.
    pub fn from_env() -> Self {
        Self::default()
    }
}

pub(crate) fn open(address: &str, _: &OpenOptions) -> Result<Box<dyn Dataset>> {
    let reason = "this build cannot download; build it with the feature `hub`".into();
    Err(Error::Hub { name: format!("hf:{address}"), reason, absent: true })
}

pub(crate) fn open_celeba(options: &OpenOptions) -> Result<Box<dyn Dataset>> {
    open(CELEBA_REPOSITORY, options).map_err(|error| Error::NoData {
        dataset: "celeba".into(),
        repository: CELEBA_REPOSITORY.into(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_downloaded_says_how_to_build() {
        let text = open("a/b", &OpenOptions::default()).err().unwrap().to_string();
        assert!(text.starts_with("hf:a/b: this build cannot download"), "{text}");
        let text = open_celeba(&OpenOptions::default()).err().unwrap().to_string();
        assert!(text.contains("feature `hub`") && text.contains("celeba:PATH"), "{text}");
    }
}
