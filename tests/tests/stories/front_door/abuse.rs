//! What those can do who reach the address and mean no good.

use pinhost_tests::http_client::HttpClient;

use pinhost_tests::running::wait_until;

use super::{Door, TIME};

/// Memory that all of it may take, beside what an idle process does.
const MEMORY: u64 = 200 << 20;

/// Sends these bytes on a connection of their own, and reads what is answered, if anything is.
fn status(door: &Door, bytes: &[u8]) -> Option<u16> {
    let mut client = door.client();
    // It may be refused half-way.
    let _ = client.write(bytes);
    client.answer().ok().map(|answer| answer.status)
}

fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST /pin/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes(), body].concat()
}

#[test]
fn what_is_no_request_is_refused_within_limits() {
    let door = Door::open("timeout: 1s, connections: 60");
    let before = door.running.resident_bytes();
    // Half of a body.
    assert_eq!(status(&door, &request("Content-Length: 9\r\n", b"{")), Some(408));
    // What is packed is not what it says, or too much.
    let packed = |body: &[u8]| {
        let length = body.len();
        request(&format!("Content-Encoding: gzip\r\nContent-Length: {length}\r\n"), body)
    };
    assert_eq!(status(&door, &packed(b"{\"ind\": 1}")), Some(400));
    let bomb = include_bytes!("zeros.gz");
    assert!(bomb.len() < 64 << 10);
    for _ in 0..20 {
        assert_eq!(status(&door, &packed(bomb)), Some(413));
    }
    // Heads without an end.
    let flood: String = (0..500).map(|number| format!("X-{number}: x\r\n")).collect();
    assert_eq!(status(&door, &request(&flood, b"")), Some(431));
    // This one may not come to hear why, as it still speaks.
    let long = format!("X: {}\r\n", "x".repeat(1 << 20));
    assert!(matches!(status(&door, &request(&long, b"")), None | Some(431)));
    // Chunks that are none, and lengths that contradict each other.
    for headers in [
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        assert_eq!(status(&door, &request(headers, b"")), Some(400), "{headers:?}");
    }
    // Behind a length and chunks at once nothing is taken for a request of its own.
    let smuggled = "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n";
    let inner = "0\r\n\r\nPOST /pin/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"ind\": 9}";
    let mut client = door.client();
    client.write(&request(smuggled, inner.as_bytes())).expect("it listens");
    while client.answer().is_ok() {}
    assert_eq!(door.rows("SELECT count(*) FROM t WHERE ind = 9"), ["0"]);
    for garbage in
        [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0", b"PRI * HTTP/2.0\r\n\r\n"]
    {
        let mut client = door.client();
        client.write(garbage).expect("it listens");
        client.end().expect("it listens");
        while client.answer().is_ok() {}
    }
    assert_eq!(door.client().post("/pin/", "{\"ind\": 1}").status, 200);
    let after = door.running.resident_bytes();
    assert!(after < before + MEMORY, "{before} bytes, then {after}");
    door.running.drain();
}

#[test]
fn those_who_ask_for_nothing_make_room_for_those_who_do() {
    let door = Door::open("timeout: 2s, connections: 50");
    let mut idle: Vec<HttpClient> = (0..150).map(|_| door.client()).collect();
    // Some have begun to ask.
    for client in &mut idle {
        let _ = client.write(b"POST /pin/ HT");
    }
    for ind in 0..5 {
        assert_eq!(door.client().post("/pin/", &format!("{{\"ind\": {ind}}}")).status, 200);
    }
    // Others never come to the end of what they ask.
    let mut slow: Vec<HttpClient> = (0..50).map(|_| door.client()).collect();
    for client in &mut slow {
        let _ = client.write(&request("Content-Length: 100\r\n", b"{"));
    }
    let mut client = door.client();
    assert_eq!(client.post("/pin/", "{\"ind\": 7}").status, 200);
    assert_eq!(door.rows("SELECT count(*) FROM t"), ["6"]);
    door.running.drain();
}

#[test]
fn more_than_there_is_memory_for_is_not_taken() {
    // An eighth of it is for what waits.
    let limits = "limits: { memory: 8MiB, record: 1MiB }\n";
    let door = Door::with(limits, "sqlite: { path: d.db, table: t }", "timeout: 3s");
    let body = format!("{{\"ind\": 1, \"title\": \"{}\"}}", "x".repeat(400 << 10));
    let head = format!("Content-Length: {}\r\n", body.len());
    let mut client = door.client();
    wait_until(TIME, || client.post("/pin/", "{\"ind\": 0}").status == 200, || door.running.log());
    // Bodies that do not come to their end hold what they have: two of them leave no room.
    let mut halves: Vec<HttpClient> = Vec::new();
    let mut told = None;
    let mut is_refused = || {
        halves.extend((0..2).map(|_| door.client()));
        for client in halves.iter_mut().rev().take(2) {
            let _ = client.write(&request(&head, &body.as_bytes()[..300 << 10]));
        }
        let answer = told.insert(client.post("/pin/", &body));
        answer.status == 429
    };
    wait_until(TIME, &mut is_refused, || door.running.log());
    assert_eq!(told.expect("an answer").headers["retry-after"], "1");
    // In the end they are not waited for.
    let last = |client: &mut HttpClient| client.answer().is_ok_and(|answer| answer.status == 408);
    assert!(halves.iter_mut().any(last));
    assert_eq!(door.client().post("/pin/", &body).status, 200);
    door.running.drain();
}
