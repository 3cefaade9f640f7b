//! Bodies of `multipart/form-data`, as SDKs send them.

use bytes::Bytes;
use memchr::memmem;

/// One field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub name: String,
    pub file_name: Option<String>,
    pub content: Bytes,
}

/// Returns the fields of a form; `None` where it is not one.
pub(super) fn parts(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let boundary = parameter(content_type.strip_prefix("multipart/form-data")?, "boundary")?;
    let boundary = format!("--{boundary}");
    let finder = memmem::Finder::new(boundary.as_bytes());
    let starts: Vec<usize> = finder.find_iter(body).collect();
    let mut parts = Vec::new();
    for pair in starts.windows(2) {
        let [from, to] = pair else {
            continue;
        };
        let part = body.slice(from + boundary.len()..*to);
        let head_end = memmem::find(&part, b"\r\n\r\n")?;
        let head = std::str::from_utf8(part.get(..head_end)?).ok()?;
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-disposition").then_some(value)
        })?;
        // The line break before the next boundary belongs to the boundary.
        let end = part.len().saturating_sub(2).max(head_end + 4);
        parts.push(Part {
            name: parameter(disposition, "name")?,
            file_name: parameter(disposition, "filename"),
            content: part.slice((head_end + 4).min(part.len())..end.min(part.len())),
        });
    }
    Some(parts)
}

fn parameter(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_apart() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{\"a\":1}\r\n\r\n--b--\r\n";
        let parts = parts("multipart/form-data; boundary=\"b\"", &Bytes::from(body)).expect("form");
        let [purpose, file] = parts.as_slice() else { panic!("two fields: {parts:?}") };
        assert_eq!((purpose.name.as_str(), &purpose.content[..]), ("purpose", &b"batch"[..]));
        assert_eq!(file.file_name.as_deref(), Some("a.jsonl"));
        assert_eq!(&file.content[..], b"{\"a\":1}\r\n");
    }

    #[test]
    fn garbage_is_no_form_and_no_panic() {
        for body in ["", "--b", "--b--b--b", "--b\r\n\r\n--b"] {
            let _parts = parts("multipart/form-data; boundary=b", &Bytes::from(body));
        }
        assert!(parts("application/json", &Bytes::new()).is_none());
    }
}
