//! Downloads of one file that go on where they broke off.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode};

use crate::http::{Failure, Http, is_passing, refusal, retry_after, text_of};
use crate::options::HubOptions;
use crate::wait::{TRIES, Wait};
use crate::{Error, Result};

/// Largest file in bytes; published weights have half a gigabyte, shards of data sets the same.
const MAX_BYTES: u64 = 64 << 30;

/// What to download, and to where.
pub(crate) struct Request<'a> {
    pub(crate) url: String,
    /// What it is called to the user.
    pub(crate) name: &'a str,
    pub(crate) path: &'a Path,
    /// Bytes that it must have, where that is known.
    pub(crate) size: Option<u64>,
    /// Whether the path stands for one content, so that any two parts of it fit together.
    pub(crate) pinned: bool,
}

/// Downloads a file to its place: written beside it (`.part`), flushed and renamed. The outer error
/// is the server's, the inner one the disk's.
pub(crate) fn download(
    http: &Http,
    request: &Request<'_>,
    options: &HubOptions,
) -> Result<Result<()>, Failure> {
    let folder = request.path.parent().unwrap_or(request.path);
    if let Err(error) = fs::create_dir_all(folder) {
        return Ok(Err(Error::io(folder)(error)));
    }
    let mut part = match Part::open(request.path, request.pinned) {
        Ok(part) => part,
        Err(error) => return Ok(Err(error)),
    };
    // Another program may have completed it while this one waited for the lock.
    let complete = |length: u64| request.size.is_none_or(|size| size == length);
    if fs::metadata(request.path).is_ok_and(|found| found.is_file() && complete(found.len())) {
        return Ok(part.discard());
    }
    let mut wait = Wait::new(options);
    loop {
        let (failure, after) = match attempt(http, request, &mut part) {
            Ok(Outcome::Complete) => return Ok(part.complete(request.path)),
            Ok(Outcome::Again { failure, after }) => (failure, after),
            Ok(Outcome::Failed(failure)) => return Err(failure),
            Err(error) => return Ok(Err(error)),
        };
        if part.got_further()? {
            wait.reset();
        }
        if !wait.again(after) {
            return Err(match failure {
                Failure::Busy(..) => failure,
                other => Failure::Other(format!("{other}, {} times in a row", TRIES + 1)),
            });
        }
    }
}

/// A file that is not complete.
struct Part {
    file: File,
    path: PathBuf,
    /// Version that the bytes are of.
    version: Option<String>,
    pinned: bool,
    /// The longest that it has been.
    furthest: u64,
}

/// How one request ended.
enum Outcome {
    Complete,
    /// Worth another try, after the wait asked for.
    Again {
        failure: Failure,
        after: Option<Duration>,
    },
    Failed(Failure),
}

fn again(failure: Failure, after: Option<Duration>) -> Result<Outcome> {
    Ok(Outcome::Again { failure, after })
}

fn attempt(http: &Http, request: &Request<'_>, part: &mut Part) -> Result<Outcome> {
    let mut have = part.length()?;
    if request.size.is_some_and(|size| have > size) {
        part.restart(None)?;
        have = 0;
    }
    if have > 0 && request.size == Some(have) {
        return Ok(Outcome::Complete);
    }
    let mut headers = Vec::new();
    if have > 0 && (part.pinned || part.version.is_some()) {
        headers.push(("Range", format!("bytes={have}-")));
        headers.extend(part.version.clone().map(|version| ("If-Range", version)));
    }
    let response = match http.get(&request.url, &headers) {
        Ok(response) => response,
        Err(failure @ Failure::Unreachable(_)) => return again(failure, None),
        Err(failure) => return Ok(Outcome::Failed(failure)),
    };
    let status = response.status();
    match status {
        StatusCode::OK => part.restart(version(response.headers()))?,
        StatusCode::PARTIAL_CONTENT if starts_at(response.headers()) == Some(have) => {}
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart(None)?;
            return again(Failure::Other("the server sends another range".into()), None);
        }
        _ if is_passing(status) => {
            let after = retry_after(response.headers());
            return again(refusal(status, after), after);
        }
        _ => return Ok(Outcome::Failed(Failure::Status(status.as_u16()))),
    }
    copy(http, request, response, part)
}

/// Appends a body to the part.
fn copy(
    http: &Http,
    request: &Request<'_>,
    response: Response<Body>,
    part: &mut Part,
) -> Result<Outcome> {
    let start = part.length()?;
    let announced = response.body().content_length().map(|length| start.saturating_add(length));
    let total = request.size.or(announced);
    let failed = |text: String| Ok(Outcome::Failed(Failure::Other(text)));
    if let Some(total) = total.filter(|&total| total > MAX_BYTES) {
        return failed(format!("expected a file of at most {MAX_BYTES} bytes, found {total}"));
    }
    if let (Some(size), Some(found)) = (request.size, announced)
        && size != found
    {
        return failed(format!("expected {size} bytes, found {found}"));
    }
    let progress = &http.options.progress;
    progress.tell(|progress| progress.start(request.name, start, total));
    let mut body = response.into_body().into_with_config().limit(MAX_BYTES + 1).reader();
    let mut buffer = vec![0; 1 << 16];
    let mut have = start;
    let cause = loop {
        match body.read(&mut buffer) {
            Ok(0) if total.is_none_or(|total| total == have) => {
                progress.tell(|progress| progress.finish());
                return Ok(Outcome::Complete);
            }
            Ok(0) => break "the connection closed".to_owned(),
            Ok(count) => {
                part.file.write_all(&buffer[..count]).map_err(Error::io(&part.path))?;
                have += count as u64;
                progress.tell(|progress| progress.advance(have));
                if have > total.unwrap_or(MAX_BYTES) {
                    part.restart(None)?;
                    return failed(format!(
                        "expected {} bytes, found more",
                        total.unwrap_or(MAX_BYTES)
                    ));
                }
            }
            Err(error) => break error.to_string(),
        }
    };
    let total = total.map_or("unknown".to_owned(), |total| total.to_string());
    let cause = cause.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = format!("the download broke off after {have} of {total} bytes ({cause})");
    again(Failure::Other(text), None)
}

impl Part {
    /// Opens the part beside a file, waiting while another program writes it.
    fn open(target: &Path, pinned: bool) -> Result<Self> {
        let path = beside(target, ".part");
        let mut options = File::options();
        let file = options.read(true).append(true).create(true).open(&path);
        let file = file.map_err(Error::io(&path))?;
        // A file system without locks is no reason not to write.
        let _ = file.lock();
        let version = match pinned {
            true => None,
            false => fs::read_to_string(beside(target, ".part.etag")).ok(),
        };
        Ok(Self { file, path, version, pinned, furthest: 0 })
    }

    /// Whether it is longer than it has ever been: a server that sends the same bytes again and
    /// again gets nowhere.
    fn got_further(&mut self) -> Result<bool, Failure> {
        let length = self.length().map_err(|error| Failure::Other(error.to_string()))?;
        let further = length > self.furthest;
        self.furthest = self.furthest.max(length);
        Ok(further)
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(Error::io(&self.path))?.len())
    }

    fn version_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".etag");
        name.into()
    }

    /// Empties the part, for bytes of this version.
    fn restart(&mut self, version: Option<String>) -> Result<()> {
        let empty = || {
            self.file.set_len(0)?;
            (&self.file).seek(SeekFrom::Start(0))?;
            match version.as_ref().filter(|_| !self.pinned) {
                Some(version) => fs::write(self.version_path(), version),
                None => remove(&self.version_path()),
            }
        };
        empty().map_err(Error::io(&self.path))?;
        self.version = version;
        Ok(())
    }

    fn complete(self, target: &Path) -> Result<()> {
        let finish = || {
            self.file.sync_all()?;
            fs::rename(&self.path, target)?;
            remove(&self.version_path())
        };
        finish().map_err(Error::io(&self.path))
    }

    fn discard(self) -> Result<()> {
        remove(&self.path)
            .and_then(|()| remove(&self.version_path()))
            .map_err(Error::io(&self.path))
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A strong entity tag, which bytes of two requests can be put together by.
fn version(headers: &HeaderMap) -> Option<String> {
    text_of(headers, "etag").filter(|tag| !tag.starts_with("W/")).map(str::to_owned)
}

/// First byte of the range that a server sends: `bytes 100-199/200`.
fn starts_at(headers: &HeaderMap) -> Option<u64> {
    let range = text_of(headers, "content-range")?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
