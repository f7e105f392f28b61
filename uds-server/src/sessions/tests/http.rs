//! Clients that speak HTTP.

use super::bench::*;
use crate::limits::Limits;
use proptest::prelude::*;

/// A reply, taken apart: status line, fields, body.
#[derive(Clone, PartialEq, Debug)]
struct Reply {
    code: u16,
    closes: bool,
    kind: String,
    body: String,
}

/// Everything the server has to say, as it stands.
fn hear(bench: &mut Bench, client: &Client) -> Vec<u8> {
    let mut heard = Vec::new();
    while let Some(session) = bench.sessions.get_mut(client.connection) {
        let output = session.output(100).to_vec();
        if output.is_empty() {
            break;
        }
        session.consume(output.len());
        heard.extend(output);
        bench.round(|sessions, round| sessions.sent(client.connection, round));
    }
    heard
}

/// The replies in these bytes; `heads` says of each whether it has no body.
fn replies(bytes: &[u8], heads: &[bool]) -> Vec<Reply> {
    let mut rest = std::str::from_utf8(bytes).unwrap();
    let mut replies = Vec::new();
    while !rest.is_empty() {
        let (head, behind) = rest.split_once("\r\n\r\n").unwrap();
        let field = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
        };
        let length: usize = field("Content-Length").parse().unwrap();
        let length = if heads.get(replies.len()) == Some(&true) { 0 } else { length };
        let (body, behind) = behind.split_at(length);
        replies.push(Reply {
            code: head.split(' ').nth(1).unwrap().parse().unwrap(),
            closes: field("Connection") == "close",
            kind: field("Content-Type"),
            body: body.to_owned(),
        });
        rest = behind;
    }
    replies
}

fn ask(bench: &mut Bench, client: &Client, request: &str) -> Vec<Reply> {
    bench.send(client, request.as_bytes());
    replies(&hear(bench, client), &[])
}

fn one(request: &str) -> (Reply, bool) {
    let mut bench = Bench::new(Limits::default());
    let client = bench.silent();
    let replies = ask(&mut bench, &client, request);
    assert_eq!(replies.len(), 1, "{request}");
    (replies[0].clone(), bench.ends(&client))
}

#[test]
fn each_path_has_its_page() {
    for (path, kind, begins) in [
        ("/", "text/html", "<!doctype html>"),
        ("/metrics", "text/plain; version=0.0.4", "# HELP lostore_build_info"),
        ("/metrics?at=once", "text/plain; version=0.0.4", "# HELP lostore_build_info"),
        ("/livez", "text/plain", "live\n"),
        ("/readyz", "text/plain", "ready\n"),
    ] {
        let (reply, over) = one(&format!("GET {path} HTTP/1.1\r\nHost: l\r\n\r\n"));
        assert_eq!((reply.code, reply.closes, over), (200, false, false), "{path}");
        assert!(reply.kind.starts_with(kind) && reply.body.starts_with(begins), "{path}: {reply:?}");
    }
}

#[test]
fn what_is_no_request_for_a_page_is_refused_by_its_status() {
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(65));
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(9000));
    for (request, code, ends) in [
        ("GET /nothing HTTP/1.1\r\n\r\n", 404, false),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 405, false),
        ("DELETE / HTTP/1.1\r\nConnection: close\r\n\r\n", 405, true),
        ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", 413, true),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413, true),
        ("GET / HTTP/1.1\r\nno field\r\n\r\n", 400, true),
        ("GET  HTTP/1.1\r\n\r\n", 400, true),
        (&long, 431, true),
        (&many, 431, true),
        (&endless, 431, true),
        ("GET /livez HTTP/1.0\r\n\r\n", 200, true),
        ("GET /livez HTTP/1.1\r\nconnection: x, Close\r\n\r\n", 200, true),
    ] {
        let (reply, over) = one(request);
        assert_eq!((reply.code, reply.closes, over), (code, ends, ends), "{request}");
        assert!(!reply.body.is_empty(), "{request}: it says why");
    }
}

#[test]
fn requests_are_answered_in_order_however_they_are_cut() {
    let paths = ["/livez", "/metrics", "/readyz", "/none", "/livez"];
    let requests: String = paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\n\r\n")).collect();
    for cut in 0..requests.len() {
        let mut bench = Bench::new(Limits::default());
        let client = bench.silent();
        let (first, second) = requests.as_bytes().split_at(cut);
        bench.send(&client, first);
        let mut heard = hear(&mut bench, &client);
        bench.send(&client, second);
        heard.extend(hear(&mut bench, &client));
        let codes: Vec<_> = replies(&heard, &[]).iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [200, 200, 200, 404, 200], "cut at {cut}");
        assert!(!bench.ends(&client));
        bench.sessions.get_mut(client.connection).unwrap().end_of_input(domains::Horizon::default());
        assert!(bench.ends(&client));
    }
}

#[test]
fn a_head_is_the_page_without_its_body() {
    let mut bench = Bench::new(Limits::default());
    let client = bench.silent();
    bench.send(&client, b"HEAD / HTTP/1.1\r\n\r\nGET /livez HTTP/1.1\r\n\r\n");
    let heard = replies(&hear(&mut bench, &client), &[true, false]);
    assert_eq!((heard[0].body.as_str(), heard[1].body.as_str()), ("", "live\n"));
}

#[test]
fn a_read_only_store_is_live_and_not_ready() {
    let mut bench = Bench::new(Limits::default());
    bench.domain.status.poisoned = Some("a flush failed".to_owned());
    let client = bench.silent();
    let heard = ask(&mut bench, &client, "GET /livez HTTP/1.1\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n");
    assert_eq!((heard[0].code, heard[1].code), (200, 503));
    assert!(heard[1].body.contains("LS0304") && heard[1].body.contains("a flush failed"), "{heard:?}");
    let metrics = ask(&mut bench, &client, "GET /metrics HTTP/1.1\r\n\r\n").remove(0).body;
    assert!(metrics.contains("\nlostore_read_only 1\n"), "{metrics}");
}

#[test]
fn who_does_not_end_a_request_or_read_a_reply_is_ended() {
    let limits = Limits::default();
    let patience = u64::try_from(limits.stall_patience.as_millis()).unwrap();
    let mut bench = Bench::new(limits);
    let slow = bench.silent();
    bench.send(&slow, b"GET / HTTP/1.1\r\nHost: ");
    bench.pass(patience - 1);
    assert!(hear(&mut bench, &slow).is_empty());
    bench.pass(1);
    assert_eq!(replies(&hear(&mut bench, &slow), &[])[0].code, 408);
    assert!(bench.ends(&slow));
    let deaf = bench.silent();
    bench.send(&deaf, b"GET / HTTP/1.1\r\n\r\n");
    bench.pass(1);
    bench.pass(patience);
    let now = bench.now;
    assert!(bench.sessions.get_mut(deaf.connection).unwrap().is_stuck(&limits, now));
    let idle = bench.silent();
    bench.send(&idle, b"GET /livez HTTP/1.1\r\n\r\n");
    hear(&mut bench, &idle);
    bench.pass(100 * patience);
    assert!(!bench.ends(&idle), "between requests a connection may be idle");
}

#[test]
fn replies_that_are_not_read_do_not_pile_up() {
    let mut bench = Bench::new(Limits::default());
    let client = bench.silent();
    for _ in 0..1000 {
        if bench.wants(&client) {
            bench.send(&client, b"GET / HTTP/1.1\r\n\r\n");
        }
    }
    let waiting = bench.sessions.get_mut(client.connection).unwrap().output(usize::MAX).len();
    assert!(waiting < 128 << 10 && !bench.wants(&client), "{waiting} bytes wait");
    assert!(replies(&hear(&mut bench, &client), &[]).iter().all(|reply| reply.code == 200));
    assert!(bench.wants(&client));
}

#[test]
fn what_others_do_is_counted() {
    let mut bench = Bench::new(Limits::default());
    let mut client = bench.client();
    for key in [b"a", b"b"] {
        bench.ask(&mut client, commit(vec![put(key, b"1")])).unwrap();
    }
    bench.ask(&mut client, lookup(b"a")).unwrap();
    let other = bench.silent();
    let text = ask(&mut bench, &other, "GET /metrics HTTP/1.1\r\n\r\n").remove(0).body;
    for line in [
        "lostore_operation_seconds_count{verb=\"commit\"} 2",
        "lostore_operation_seconds_count{verb=\"lookup\"} 1",
        "lostore_operation_seconds_bucket{verb=\"commit\",le=\"+Inf\"} 2",
        "lostore_connections 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_answered_or_ends(noise in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
        let mut bench = Bench::new(Limits::default());
        let client = bench.silent();
        bench.send(&client, b"GET /livez HTTP/1.1\r\n");
        let (first, second) = noise.split_at(cut.min(noise.len()));
        bench.send(&client, first);
        bench.send(&client, second);
        bench.sessions.get_mut(client.connection).unwrap().end_of_input(domains::Horizon::default());
        hear(&mut bench, &client);
        prop_assert!(bench.ends(&client));
    }
}
