//! What tests ask the server with, and what they hear.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::server::Server;
use super::{DownloadProgress, HubOptions};

/// Remembers what it is told.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn say(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl DownloadProgress for Heard {
    fn start(&self, file: &str, done: u64, total: Option<u64>) {
        self.say(format!("start {file} {done} {total:?}"));
    }

    fn advance(&self, _: u64) {}

    fn finish(&self) {
        self.say("finish".into());
    }

    fn notice(&self, text: &str) {
        self.say(format!("notice {text}"));
    }
}

pub(crate) fn options(server: &Server, folder: &Path) -> HubOptions {
    HubOptions {
        endpoint: server.url.clone(),
        cache: Some(folder.join("hub")),
        weights_url: server.url.clone(),
        offline: false,
        retry_delay: Duration::ZERO,
        // Not what a login on this machine has stored.
        token: Some("test".into()),
        ..HubOptions::default()
    }
}
