//! Files of hub repositories, in the cache that hf-hub and huggingface_hub share.
//!
//! hf-hub says where a file lies in the cache; the transfer is our own, since hf-hub 1.0 neither
//! goes on with a download that broke off nor looks at the status of what it stores, and 0.5 drops
//! `Retry-After`. Names that could lead out of the cache are refused.

use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use serde_json::Value;

use crate::address::{Address, is_relative};
use crate::download::{Request, download};
use crate::http::{Failure, Http};
use crate::options::HubOptions;
use crate::{Error, Result};

/// Deepest folder of a snapshot that is looked into.
const MAX_DEPTH: usize = 8;
/// Longest description of a repository, in bytes; one of a hundred thousand files has 10 MB.
const MAX_LISTING: u64 = 64 << 20;

/// How every message begins that says that a repository is not to be found.
pub const NO_SUCH_REPOSITORY: &str = "no such repository";

/// What a repository is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A data set.
    Dataset,
    /// A model.
    Model,
}

impl Kind {
    /// Before `owner/repo` in an address.
    fn prefix(self) -> &'static str {
        match self {
            Self::Dataset => "datasets/",
            Self::Model => "",
        }
    }
}

/// Files of a repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The commit, a SHA-1.
    pub commit: String,
    /// Paths relative to the repository.
    pub files: Vec<String>,
    /// Whether the cache said so, rather than the hub.
    pub cached: bool,
    /// Whether these are only the files that some program has downloaded.
    pub partial: bool,
}

/// One repository, at one revision.
pub struct Repository<'a> {
    address: &'a Address,
    kind: Kind,
    revision: String,
    options: &'a HubOptions,
    cache: PathBuf,
    http: Http,
}

impl<'a> Repository<'a> {
    /// A repository by its address.
    ///
    /// # Errors
    /// [`Error::Hub`] where no folder for the cache is known.
    pub fn new(address: &'a Address, kind: Kind, options: &'a HubOptions) -> Result<Self> {
        let cache = options.cache.clone().ok_or_else(|| Error::Hub {
            name: address.to_string(),
            reason: "no folder for the hub's cache is known; set HF_HOME".into(),
            absent: true,
        })?;
        let revision = address.revision.clone().unwrap_or_else(|| "main".into());
        Ok(Self { address, kind, revision, options, cache, http: Http::new(options) })
    }

    /// `owner/repo`.
    pub fn id(&self) -> String {
        self.address.id()
    }

    /// The same repository at another revision.
    #[must_use]
    pub fn at(self, revision: &str) -> Self {
        Self { revision: revision.into(), ..self }
    }

    /// The commit of the revision, and its files. Where the hub cannot be reached, those that the
    /// cache has.
    ///
    /// # Errors
    /// [`Error::Hub`] where there is no such repository, it may not be read, or neither the hub nor
    /// the cache has it.
    pub fn list(&self) -> Result<Listing> {
        if self.options.offline {
            let why = "offline (HF_HUB_OFFLINE, or as the program has it)";
            return self.cached().ok_or_else(|| self.not_cached(why));
        }
        let plural = if self.kind == Kind::Dataset { "datasets" } else { "models" };
        let url = format!(
            "{}/api/{plural}/{}/revision/{}",
            self.endpoint(),
            self.id(),
            self.revision.replace('/', "%2F")
        );
        match self.http.text(&url, MAX_LISTING) {
            Ok(text) => self.check(&text),
            Err(Failure::Unreachable(cause)) => match self.cached() {
                Some(listing) => {
                    let hub = self.endpoint();
                    let text = format!("{}: cannot reach {hub}; reading the cache", self.address);
                    self.options.progress.tell(|progress| progress.notice(&text));
                    Ok(listing)
                }
                None => {
                    let why = format!("cannot reach {} ({cause})", self.endpoint());
                    Err(self.not_cached(&why))
                }
            },
            Err(failure) => Err(self.failed(&failure, None)),
        }
    }

    /// Reads the hub's description of a repository.
    fn check(&self, text: &str) -> Result<Listing> {
        let wrong = |found: String| {
            self.reason(format!("expected the hub's answer to list files, found {found}"), false)
        };
        let answer: Value =
            serde_json::from_str(text).map_err(|error| wrong(format!("no JSON: {error}")))?;
        let commit = answer["sha"].as_str().unwrap_or_default().to_owned();
        if !is_commit(&commit) {
            return Err(wrong(format!("the commit {commit:?}")));
        }
        let siblings = answer["siblings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let name = |file: &Value| file["rfilename"].as_str().map(str::to_owned);
        let files: Vec<String> = siblings.iter().filter_map(name).collect();
        match files.iter().find(|name| !is_relative(name)) {
            Some(name) => Err(wrong(format!("the file {name:?}"))),
            None => Ok(Listing { commit, files, cached: false, partial: false }),
        }
    }

    /// Path of a file, downloaded where the cache lacks it; `announce` is called before.
    ///
    /// # Errors
    /// [`Error::Hub`] where it cannot be had, [`Error::Io`].
    pub fn file(&self, listing: &Listing, name: &str, announce: impl Fn()) -> Result<PathBuf> {
        let path = self.snapshot(&listing.commit).join(name);
        if path.exists() {
            return Ok(path);
        }
        if self.options.offline || listing.cached {
            return Err(self.not_cached(&format!("the cache lacks {name}")));
        }
        announce();
        let url = format!(
            "{}/{}{}/resolve/{}/{}",
            self.endpoint(),
            self.kind.prefix(),
            self.id(),
            listing.commit,
            encode(name)
        );
        let failed = |failure| self.failed(&failure, Some(name));
        let about = self.http.about(&url).map_err(failed)?;
        let blob = self.folder().join("blobs").join(blob_name(&about.tag));
        let expected = about.size.filter(|_| blob.is_file());
        // A blob of another length is not the file.
        if !blob.is_file() || expected.is_some_and(|size| length(&blob).ok() != Some(size)) {
            let request = Request {
                url,
                name,
                path: &blob,
                size: about.size,
                // The blob is named after its content.
                pinned: true,
            };
            download(&self.http, &request, self.options).map_err(failed)??;
        }
        link(&blob, &path).map_err(Error::io(&path))?;
        Ok(path)
    }

    /// Notes which commit the revision was at, and which files that has: without the hub, the cache
    /// does not say whether a split that it lacks is published.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remember(&self, listing: &Listing) -> Result<()> {
        let path = self.folder().join("refs").join(&self.revision);
        if listing.cached {
            return Ok(());
        }
        let names = self.names(&listing.commit);
        if !names.exists() {
            let write = || {
                let folder = names.parent().unwrap_or(&names);
                fs::create_dir_all(folder)?;
                vdvae_io::write(&names, serde_json::to_vec(&listing.files)?)
            };
            write().map_err(Error::io(&names))?;
        }
        if fs::read_to_string(&path).is_ok_and(|found| found.trim() == listing.commit) {
            return Ok(());
        }
        if is_commit(&self.revision) {
            return Ok(());
        }
        self.layout().create_ref(&listing.commit).map_err(Error::io(&path))
    }

    fn endpoint(&self) -> &str {
        self.options.endpoint.trim_end_matches('/')
    }

    /// The repository's place in the hub's cache.
    fn layout(&self) -> CacheRepo {
        let kind = match self.kind {
            Kind::Dataset => RepoType::Dataset,
            Kind::Model => RepoType::Model,
        };
        let repo = Repo::with_revision(self.id(), kind, self.revision.clone());
        Cache::new(self.cache.clone()).repo(repo)
    }

    fn folder(&self) -> PathBuf {
        let snapshots = self.layout().pointer_path("x");
        snapshots.ancestors().nth(2).unwrap_or(&self.cache).to_owned()
    }

    /// Where the names of all files of a commit are kept, beside hf-hub's own folders.
    fn names(&self, commit: &str) -> PathBuf {
        self.folder().join("vdvae").join(format!("{commit}.json"))
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.layout().pointer_path(commit)
    }

    /// What the cache has of this revision.
    fn cached(&self) -> Option<Listing> {
        let commit = match is_commit(&self.revision) {
            true => self.revision.clone(),
            false => fs::read_to_string(self.folder().join("refs").join(&self.revision)).ok()?,
        };
        let commit = commit.trim().to_owned();
        if !is_commit(&commit) {
            return None;
        }
        let names = self.names(&commit);
        let noted = fs::metadata(&names).ok().filter(|noted| noted.len() <= MAX_LISTING);
        let noted = noted.and_then(|_| fs::read(&names).ok());
        let noted = noted.and_then(|text| serde_json::from_slice::<Vec<String>>(&text).ok());
        let files = noted.filter(|files| files.iter().all(|name| is_relative(name)));
        if let Some(files) = files {
            return Some(Listing { commit, files, cached: true, partial: false });
        }
        // What another program has downloaded.
        let mut files = Vec::new();
        walk(&self.snapshot(&commit), "", 0, &mut files);
        files.sort_unstable();
        (!files.is_empty()).then_some(Listing { commit, files, cached: true, partial: true })
    }

    fn not_cached(&self, why: &str) -> Error {
        let folder = self.folder();
        self.reason(format!("{why}, and not complete in the cache, {}", folder.display()), true)
    }

    /// An [`Error::Hub`] about this repository.
    pub fn reason(&self, reason: String, absent: bool) -> Error {
        Error::Hub { name: self.address.to_string(), reason, absent }
    }

    /// What a failure means here: of a file, or of the repository.
    fn failed(&self, failure: &Failure, file: Option<&str>) -> Error {
        let reason = match (failure, file) {
            (Failure::Status(401), _) => {
                format!("{NO_SUCH_REPOSITORY}, or one that needs a token: set HF_TOKEN (401)")
            }
            (Failure::Status(403), _) => {
                let page = format!("{}/{}{}", self.endpoint(), self.kind.prefix(), self.id());
                format!("access denied (403): accept its terms at {page} and set HF_TOKEN")
            }
            (Failure::Status(404), Some(file)) => format!("no such file: {file} (404)"),
            (Failure::Status(404), None) if self.revision == "main" => {
                format!("{NO_SUCH_REPOSITORY} (404)")
            }
            (Failure::Status(404), None) => {
                let hint = match self.address.path {
                    Some(_) => "; a slash in its name is written %2F",
                    None => "",
                };
                format!("{NO_SUCH_REPOSITORY} or revision `{}` (404){hint}", self.revision)
            }
            (Failure::Unreachable(cause), _) => {
                format!("cannot reach {} ({cause})", self.endpoint())
            }
            (other, Some(file)) => format!("{file}: {other}"),
            (other, None) => other.to_string(),
        };
        self.reason(reason, matches!(failure, Failure::Unreachable(_)))
    }
}

/// The name of a file in an address: what is no letter, digit or one of `-._~/+` is escaped.
fn encode(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/+".contains(&byte);
    name.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// An entity tag as the name of a file; the hub's are hashes.
fn blob_name(tag: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(allowed) {
        true => tag.to_owned(),
        false => vdvae_io::sha256(tag),
    }
}

/// Makes a snapshot's file out of a blob: a relative link, as huggingface_hub does.
#[cfg(unix)]
fn link(blob: &Path, path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    // From below the repository's folder, where `blobs` lies.
    let root = blob.ancestors().nth(2).unwrap_or(blob);
    let depth = folder.strip_prefix(root).map_or(0, |below| below.components().count());
    let mut target = PathBuf::from_iter(std::iter::repeat_n("..", depth));
    target.push(blob.strip_prefix(root).unwrap_or(blob));
    match std::os::unix::fs::symlink(target, path) {
        // Another program was faster, or the link points at a blob that had gone.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes a snapshot's file out of a blob: links need a privilege here.
#[cfg(not(unix))]
fn link(blob: &Path, path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::rename(blob, path)
}

/// A full SHA-1 in hexadecimal.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn length(path: &Path) -> std::io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

/// Files below a folder, by relative name; a link to nothing is no file.
fn walk(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_file() {
            files.push(name);
        } else if path.is_dir() && depth < MAX_DEPTH {
            walk(&path, &format!("{name}/"), depth + 1, files);
        }
    }
}
