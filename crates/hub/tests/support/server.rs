//! A server on this machine that behaves like the hub, and like storage behind it.
#![allow(dead_code, reason = "each crate's tests use some of these")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Names and contents.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// What the server holds and how it behaves.
#[derive(Default, Clone)]
pub(crate) struct Site {
    /// Repository (`datasets/owner/name`, or `owner/name` for models) and revision → files.
    pub(crate) repositories: HashMap<(String, String), Files>,
    /// Plain files by path.
    pub(crate) plain: HashMap<String, Vec<u8>>,
    /// Asked for in `Authorization`; anything else is 401.
    pub(crate) token: Option<String>,
    /// Answers for paths that begin so, in this order, before the normal ones.
    pub(crate) script: Vec<(&'static str, Answer)>,
    /// Whether listings are refused as those of a gated repository.
    pub(crate) gated: bool,
}

/// An answer that is out of the ordinary.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// 429 with `Retry-After`.
    Busy(u64),
    /// A status and an empty body.
    Status(u16),
    /// The body ends after so many bytes, the connection too.
    Cut(usize),
    /// The length that is claimed.
    Claim(u64),
    /// `Range` is ignored.
    Whole,
}

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A running server; it stops with the test.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) site: Arc<Mutex<Site>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn start(site: Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (site, log) = (Arc::new(Mutex::new(site)), Arc::<Mutex<Vec<String>>>::default());
        let (shared, seen) = (Arc::clone(&site), Arc::clone(&log));
        // Ends with the process: tests are few, and each binds a port of its own.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (site, log) = (Arc::clone(&shared), Arc::clone(&seen));
                std::thread::spawn(move || {
                    // A client that hangs up is no concern of the server's.
                    let _ = serve(stream, &site, &log);
                });
            }
        });
        Self { url, site, log }
    }

    /// Requests so far: `GET /path` and, where there was one, the range.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Bodies sent: of `GET`, below this path.
    pub(crate) fn downloads(&self, path: &str) -> usize {
        let prefix = format!("GET {path}");
        self.requests().iter().filter(|request| request.starts_with(&prefix)).count()
    }
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.take(1 << 16).read_line(&mut line).ok()?;
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (method, path) = (parts.next()?, parts.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.take(1 << 16).read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { method, path, headers })
}

fn serve(stream: TcpStream, site: &Mutex<Site>, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader) {
        let range = request.headers.get("range").map(|range| format!(" {range}"));
        let line = format!("{} {}{}", request.method, request.path, range.unwrap_or_default());
        log.lock().unwrap().push(line);
        let (site, answer) = {
            let mut site = site.lock().unwrap();
            let at = site.script.iter().position(|(path, _)| request.path.starts_with(path));
            let answer = at.map(|at| site.script.remove(at).1);
            (site.clone(), answer)
        };
        if !answer_to(&request, &site, answer, &mut stream)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns whether the connection stays open.
fn answer_to(
    request: &Request,
    site: &Site,
    answer: Option<Answer>,
    stream: &mut TcpStream,
) -> std::io::Result<bool> {
    let head = request.method == "HEAD";
    let empty = |stream: &mut TcpStream, status: &str, more: &str| {
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n{more}\r\n").map(|()| true)
    };
    match answer {
        Some(Answer::Busy(seconds)) => {
            return empty(stream, "429 Too Many", &format!("Retry-After: {seconds}\r\n"));
        }
        Some(Answer::Status(status)) => return empty(stream, &format!("{status} No"), ""),
        _ => {}
    }
    let path = request.path.split('?').next().unwrap_or_default();
    if let Some(token) = &site.token {
        let given = request.headers.get("authorization");
        if !path.starts_with("/storage/") && given != Some(&format!("Bearer {token}")) {
            return empty(stream, "401 Unauthorized", "");
        }
    }
    if let Some(bytes) = site.plain.get(path) {
        return body(request, bytes, answer, stream);
    }
    if let Some(rest) = path.strip_prefix("/api/") {
        if site.gated {
            return empty(stream, "403 Forbidden", "");
        }
        let found = listing(site, rest);
        let Some(json) = found else { return empty(stream, "404 Not Found", "") };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}", json.len())?;
        return Ok(true);
    }
    let stored = path.strip_prefix("/storage/");
    let Some((tag, bytes)) = file(site, stored.unwrap_or(&path[1..])) else {
        return empty(stream, "404 Not Found", "");
    };
    if stored.is_some() {
        return body(request, &bytes, answer, stream);
    }
    // The hub says what a file is, and sends the client on for its bytes.
    let host = &request.headers["host"];
    let more = format!(
        "ETag: \"{tag}\"\r\nX-Linked-ETag: \"{tag}\"\r\nX-Linked-Size: {}\r\n\
         X-Repo-Commit: {COMMIT}\r\nLocation: http://{host}/storage{path}\r\n",
        bytes.len()
    );
    let status = if head { "302 Found" } else { "307 Temporary Redirect" };
    empty(stream, status, &more)
}

fn body(
    request: &Request,
    bytes: &[u8],
    answer: Option<Answer>,
    stream: &mut TcpStream,
) -> std::io::Result<bool> {
    let tag = format!("\"{}\"", bytes.len());
    let whole = matches!(answer, Some(Answer::Whole));
    let current = request.headers.get("if-range").is_none_or(|version| *version == tag);
    let range = request.headers.get("range").filter(|_| current && !whole);
    let start =
        range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
    let (status, start, more) = match start {
        Some(start) if start >= bytes.len() => {
            write!(stream, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(true);
        }
        Some(start) => {
            let range = format!("Content-Range: bytes {start}-{}/{0}\r\n", bytes.len());
            ("206 Partial Content", start, range)
        }
        None => ("200 OK", 0, String::new()),
    };
    let rest = &bytes[start..];
    let claimed = match answer {
        Some(Answer::Claim(length)) => length,
        _ => rest.len() as u64,
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {claimed}\r\nETag: {tag}\r\n{more}\r\n")?;
    if request.method == "HEAD" {
        return Ok(true);
    }
    let sent = match answer {
        Some(Answer::Cut(length)) => &rest[..length.min(rest.len())],
        _ => rest,
    };
    stream.write_all(sent)?;
    stream.flush()?;
    Ok(sent.len() as u64 == claimed)
}

/// `datasets/owner/name/revision/main` as the hub's answer.
fn listing(site: &Site, path: &str) -> Option<String> {
    let (repository, revision) = path.split_once("/revision/")?;
    let repository = repository.strip_prefix("models/").unwrap_or(repository);
    let revision = revision.replace("%2F", "/");
    let files = site.repositories.get(&(repository.to_owned(), revision))?;
    let siblings: Vec<_> =
        files.iter().map(|(name, _)| serde_json::json!({"rfilename": name})).collect();
    let id = repository.strip_prefix("datasets/").unwrap_or(repository);
    let json = serde_json::json!({"_id": "1", "id": id, "sha": COMMIT, "siblings": siblings});
    Some(json.to_string())
}

/// `datasets/owner/name/resolve/COMMIT/file` as a tag and the bytes.
fn file(site: &Site, path: &str) -> Option<(String, Vec<u8>)> {
    let (repository, rest) = path.split_once("/resolve/")?;
    let (_, name) = rest.split_once('/')?;
    let name = name.replace("%2B", "+");
    let of = site.repositories.iter().filter(|((known, _), _)| known == repository);
    let (_, bytes) = of.flat_map(|(_, files)| files).find(|(known, _)| *known == name)?;
    Some((format!("{}-{}", name.replace('/', "-"), bytes.len()), bytes.clone()))
}
