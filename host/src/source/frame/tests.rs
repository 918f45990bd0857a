use std::ops::Range;

use proptest::prelude::*;

use super::*;

const MOST: Most = Most { records: usize::MAX, bytes: usize::MAX };

/// The records in the bytes, if they come in pieces that are cut at `cuts`; of too large ones the size.
fn framed(bytes: &[u8], cuts: &[usize], record_bytes_max: usize) -> Vec<(Vec<u8>, Option<String>)> {
    let mut framer = Framer::new(record_bytes_max);
    let mut records = Vec::new();
    let mut take = |framer: &mut Framer, most: Most| {
        while let Some(framed) = framer.take(most) {
            assert!(framed.frames.len() <= most.records);
            records.extend(framed.frames.into_iter().map(|frame| {
                let value = framed.bytes[frame.value.range()].to_vec();
                (value, frame.fault.map(|fault| fault.detail.unwrap_or(fault.reason)))
            }));
        }
    };
    let mut from = 0;
    for (turn, &to) in cuts.iter().chain([&bytes.len()]).enumerate() {
        framer.push(&bytes[from..to]);
        from = to;
        if turn % 2 == 0 {
            take(&mut framer, Most { records: 1 + turn % 3, ..MOST });
        }
    }
    framer.end();
    take(&mut framer, MOST);
    records
}

fn records(text: &str) -> Vec<String> {
    let one = framed(text.as_bytes(), &[], 1 << 20);
    let cuts: Vec<usize> = (0..text.len()).collect();
    assert_eq!(framed(text.as_bytes(), &cuts, 1 << 20), one, "byte by byte");
    let text = |(value, fault): (Vec<u8>, Option<String>)| {
        assert_eq!(fault, None);
        String::from_utf8(value).expect("the test's text")
    };
    one.into_iter().map(text).collect()
}

#[test]
fn lines_are_records() {
    let lines = "{\"a\": 1}\n{\"a\": {\"b\": [{}]}}\n{\"a\": \"}{\"}\n";
    let expected = [r#"{"a": 1}"#, r#"{"a": {"b": [{}]}}"#, r#"{"a": "}{"}"#];
    assert_eq!(records(lines), expected);
    assert_eq!(records(lines.trim_end()), expected, "the last newline may be missing");
    assert_eq!(records(&lines.replace('\n', "\r\n")), expected);
    assert_eq!(records(&lines.replace('\n', "\n\n \t\r\n")), expected, "blank lines");
    assert_eq!(records(&format!("\u{feff}{lines}")), expected, "a byte order mark");
    assert_eq!(records(""), [""; 0]);
    assert_eq!(records("\u{feff}\n \n"), [""; 0]);
}

#[test]
fn an_array_that_does_not_end_is_missing_something() {
    let unended = |text: &str| {
        let mut framed = framed(text.as_bytes(), &[], 1 << 20);
        assert_eq!(
            framed.last().and_then(|(_, fault)| fault.clone()).as_deref(),
            Some(RawFault::UNENDED)
        );
        framed.pop();
        framed.into_iter().map(|(value, _)| String::from_utf8(value).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(unended("["), [""; 0]);
    assert_eq!(unended(r#"[{"a": 1}, {"a": [2]}"#), [r#"{"a": 1}"#, r#"{"a": [2]}"#]);
    assert_eq!(unended("[{\"a\": 1},\n"), [r#"{"a": 1}"#]);
    assert_eq!(unended(r#"[{"a": 1}, {"a""#), [r#"{"a": 1}"#, r#"{"a""#]);
}

#[test]
fn an_object_may_have_many_lines_and_a_line_many_objects() {
    assert_eq!(
        records("{}{\"a\": 1} {\"b\":\n{}}{\n}"),
        ["{}", r#"{"a": 1}"#, "{\"b\":\n{}}", "{\n}"]
    );
    let pretty = "{\n  \"a\": [\n    {\n      \"b\": 1\n    }\n  ]\n}\n";
    assert_eq!(records(&pretty.repeat(2)), [pretty.trim_end(); 2]);
    assert_eq!(records(&pretty.replace(' ', "").repeat(2)).len(), 2, "nothing is indented");
    assert_eq!(records(&format!("{pretty}{{}}\n")), [pretty.trim_end(), "{}"], "forms may change");
    assert_eq!(records("{\"a\": {}\n,\"b\": {}\n}"), ["{\"a\": {}\n,\"b\": {}\n}"]);
}

#[test]
fn elements_of_an_array_are_records() {
    let expected = [r#"{"a": 1}"#, r#"{"a": [2]}"#];
    assert_eq!(records(r#"[{"a": 1}, {"a": [2]}]"#), expected);
    assert_eq!(records("\u{feff} \n[\n {\"a\": 1},\n {\"a\": [2]}\n]\n"), expected);
    assert_eq!(records("[{\"a\": 1}]\n[{\"a\": [2]}]\n"), expected, "several");
    assert_eq!(records("[]"), [""; 0]);
    assert_eq!(records(r#"[1, "a", [{}], null]"#), ["1", r#""a""#, "[{}]", "null"]);
    assert_eq!(records(r#"[{"a": x y}, {"a": 1}]"#), [r#"{"a": x y}"#, r#"{"a": 1}"#]);
    assert_eq!(records("[\n{\"a\": ,\n{\"b\": 2}\n]"), ["{\"a\":", "{\"b\": 2}"]);
}

#[test]
fn a_malformed_line_is_one_record_and_costs_no_other() {
    let good = r#"{"a": 1, "b": "x"}"#;
    let cut_short = (1..good.len()).map(|length| &good[..length]);
    let others = [
        "no json",
        "[1, 2]",
        "1",
        "}",
        r#"{"a" 1}"#,
        r#"{"a": 1,}"#,
        r#"{"a": 1}}"#,
        r#"{"a": 1} x"#,
        r#"{"a": 1},"#,
        "{'a': 1}",
        r#"{"a": "x}"#,
        r#"{"a": {"b": 1}"#,
        r#"{"a": [{"b": 1}"#,
        r#"{"a": , "b": [{"c": 1}, {"d": 1}]}"#,
        "\u{0}\u{1}",
    ];
    for line in cut_short.chain(others) {
        let line = line.trim_end();
        // What is nothing but `{` may be the first of many lines.
        let is_brace = line == "{";
        let lines = format!("{good}\n{line}\n{good}\r\n{line}\r\n\n{good}\n{line}");
        let expected = [good, line, good, line, good, line];
        assert_eq!(records(&lines), expected, "{line}");
        let garbage = format!("{good}\n{line}\nno json\n{good}");
        if !is_brace {
            assert_eq!(records(&garbage), [good, line, "no json", good], "{line}");
        }
    }
}

#[test]
fn a_malformed_object_of_many_lines_is_one_record() {
    let good = "{\n  \"a\": {\n    \"b\": 1\n  }\n}";
    let bad = "{\n  \"a\": {\n    \"b\" 1\n  }\n}";
    assert_eq!(records(&format!("{good}\n{bad}\n{good}\n")), [good, bad, good]);
    let cut_short = "{\n  \"a\": {\n    \"b\": 1";
    assert_eq!(records(&format!("{good}\n{cut_short}\n{good}\n")), [good, cut_short, good]);
    assert_eq!(records(&format!("{good}\n{cut_short}")), [good, cut_short]);
    let deeper = |text: &str| format!("  {}", text.replace('\n', "\n  "));
    let (good, bad) = (deeper(good), deeper(bad));
    let found = records(&format!("[\n{good},\n{bad},\n{good}\n]"));
    assert_eq!(found, [good.trim(), bad.trim(), good.trim()]);
    assert_eq!(records("[{\n\"a\" 1\n}, {\n\"a\": 2\n}]"), ["{\n\"a\" 1\n}", "{\n\"a\": 2\n}"]);
}

#[test]
fn among_objects_with_nothing_between_them_the_next_one_goes_on() {
    assert_eq!(records(r#"{"a": 1}{"b" 2}{"c": 3}"#), [r#"{"a": 1}"#, r#"{"b" 2}"#, r#"{"c": 3}"#]);
    let cut_short = r#"{"a": "x{"b": 2}{"c": 3}"#;
    assert_eq!(records(cut_short), [r#"{"a": "x{"b": 2}"#, r#"{"c": 3}"#]);
}

#[test]
fn a_large_record_is_one_record_of_which_little_is_kept() {
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(300_000));
    let pretty = large.replace("{\"", "{\n\"");
    let broken = pretty.replace(": \"", " \"");
    let garbage = "y".repeat(300_000);
    let small = "{\"a\": 1}";
    // How much is told of it: a malformed record of many lines comprises the newline after it.
    for (large, size) in
        [(&large, 300_009), (&pretty, 300_010), (&broken, 300_010), (&garbage, 300_000)]
    {
        let text = format!("{small}\n{large}\n{small}\n{large}\n{small}");
        for cut in [1 << 10, 1 << 20, 100] {
            let cuts: Vec<usize> = (0..text.len()).step_by(cut).collect();
            let records = framed(text.as_bytes(), &cuts, 200_000);
            let told = records.iter().map(|(value, size)| (value.len(), size.clone()));
            let kept = (KEPT_BYTES, Some(format!("{size} bytes; the limit is 200000")));
            let small = (small.len(), None);
            let expected = [small.clone(), kept.clone(), small.clone(), kept, small];
            assert_eq!(told.collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn what_is_no_record_or_too_large_takes_no_memory() {
    for piece in [" \n", "x", "{\"a\": \"", "}{", "{\n", "[[[[", "}  "] {
        let mut framer = Framer::new(1 << 20);
        let chunk = piece.repeat((64 << 10) / piece.len());
        for _ in 0..100 {
            framer.push(chunk.as_bytes());
            while framer.take(MOST).is_some() {}
            assert!(framer.bytes() <= (1 << 20) + (128 << 10), "{piece:?}: {}", framer.bytes());
        }
    }
}

/// The rule once more, over all bytes at once and with no thought for speed.
struct Reference<'a> {
    bytes: &'a [u8],
    record_bytes_max: usize,
    records: Vec<(Vec<u8>, Option<String>)>,
}

impl Reference<'_> {
    fn records(bytes: &[u8], record_bytes_max: usize) -> Vec<(Vec<u8>, Option<String>)> {
        let mut reference = Reference { bytes, record_bytes_max, records: Vec::new() };
        reference.run();
        reference.records
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b'\n')
    }

    fn run(&mut self) {
        let mut at = 0;
        let mut indent = 0;
        let mut array = None;
        while at < self.bytes.len() {
            let byte = self.byte(at);
            if array.is_none() && self.bytes[at..].starts_with("\u{feff}".as_bytes()) {
                at += 3;
            } else if byte == b'\n' {
                indent = 0;
                at += 1;
            } else if b" \t\r".contains(&byte) {
                indent += 1;
                at += 1;
            } else {
                // Whether it is an array, and whether that one is open.
                let (is_array, is_open) = *array.get_or_insert((byte == b'[', false));
                if is_array && (byte == b'[' && !is_open || byte == b']' && is_open) {
                    array = Some((true, !is_open));
                    indent = if is_open { indent } else { 0 };
                    at += 1;
                } else if is_open && byte == b',' {
                    indent = 0;
                    at += 1;
                } else {
                    at = self.record(at, is_open, indent);
                    indent = 0;
                }
            }
        }
        if array == Some((true, true)) {
            self.records.push((Vec::new(), Some(RawFault::UNENDED.to_owned())));
        }
    }

    /// The end of the record that begins here.
    fn record(&mut self, start: usize, is_element: bool, indent: usize) -> usize {
        let is_value = is_element || self.byte(start) == b'{';
        let fault = if is_value { self.value_end(start) } else { Err(start) };
        let fault = match fault {
            Ok(end) => {
                let behind = (end..).find(|at| !b" \t\r".contains(&self.byte(*at))).unwrap();
                let goes_on = match self.byte(behind) {
                    b'\n' | b'{' => true,
                    b',' | b']' => is_element,
                    _ => behind - end > BLANKS_MAX,
                };
                if goes_on {
                    self.push(start..end, end);
                    return end;
                }
                behind
            }
            Err(fault) => fault,
        };
        let end = self.malformed_end(start, fault, is_element, indent);
        let between = |byte: u8| b" \t\r\n".contains(&byte) || is_element && byte == b',';
        let value_end =
            (start..end).rev().find(|at| !between(self.byte(*at))).map_or(start, |at| at + 1);
        self.push(start..end, value_end);
        end
    }

    fn malformed_end(&self, start: usize, fault: usize, is_element: bool, indent: usize) -> usize {
        let is_large = fault - start > self.record_bytes_max;
        let line_end = |at: usize| (at..).find(|at| self.byte(*at) == b'\n').unwrap();
        let first = line_end(start);
        let seen = if is_large { start + KEPT_BYTES.min(self.record_bytes_max) } else { fault };
        let has_lines = self.bytes[start..first].trim_ascii_end() == b"{" && first < seen;
        let before = (start..fault).rev().find(|at| !b" \t\r".contains(&self.byte(*at)));
        let is_line_start = before.is_some_and(|at| self.byte(at) == b'\n');
        if is_large && is_line_start && self.byte(fault) == b'{' {
            return fault;
        }
        if has_lines {
            let mut line = line_end(if is_large { fault } else { first });
            while line < self.bytes.len() {
                let shown = &self.bytes[line + 1..self.bytes.len().min(line + 1 + LOOKAHEAD_MAX)];
                let blanks = shown.iter().take_while(|byte| b" \t".contains(byte)).count();
                let closed = shown.iter().take_while(|byte| b" \t},".contains(byte)).count();
                if blanks <= indent && shown.get(closed) == Some(&b'{') {
                    return line + 1 + closed;
                }
                line = line_end(line + 1);
            }
            return self.bytes.len();
        }
        if !is_large && first < fault {
            return first;
        }
        let end = line_end(fault).min(self.bytes.len());
        let next = (fault..end).find_map(|close| {
            let between = |at: &usize| {
                b" \t\r".contains(&self.byte(*at)) || is_element && self.byte(*at) == b','
            };
            let open = (close + 1..).find(|at| !between(at)).unwrap();
            let text = (open + 1..).find(|at| !b" \t\r".contains(&self.byte(*at))).unwrap();
            let found = [close, open, text].map(|at| self.byte(at)) == *b"}{\"";
            (found && text - open <= LOOKAHEAD_MAX).then_some(open)
        });
        next.unwrap_or(end)
    }

    /// The end of the value that begins here, or the place of a token that can't stand where it is.
    fn value_end(&self, start: usize) -> Result<usize, usize> {
        let mut open: Vec<u8> = Vec::new();
        // `v`alue, `k`ey, `:`, or `,`; capitals where the bracket may be closed instead.
        let mut next = b'v';
        let mut at = start;
        loop {
            let Some(&byte) = self.bytes.get(at) else { return Err(at) };
            if b" \t\r\n".contains(&byte) {
                at += 1;
                continue;
            }
            let top = open.last().copied();
            let mut end = at + 1;
            next = match (byte, next.to_ascii_lowercase()) {
                (b'{' | b'[', b'v') if open.len() < 256 => {
                    open.push(byte);
                    if byte == b'{' { b'K' } else { b'V' }
                }
                (b'}', _) if top == Some(b'{') && b"K,".contains(&next) => {
                    open.pop();
                    b','
                }
                (b']', _) if top == Some(b'[') && b"V,".contains(&next) => {
                    open.pop();
                    b','
                }
                (b',', b',') => {
                    if top == Some(b'{') {
                        b'k'
                    } else {
                        b'v'
                    }
                }
                (b':', b':') => b'v',
                (b'"', b'v' | b'k') => {
                    end = self.text_end(at + 1)?;
                    if next.eq_ignore_ascii_case(&b'k') { b':' } else { b',' }
                }
                (b'{' | b'[' | b'}' | b']' | b',' | b':' | b'"', _) => return Err(at),
                (_, b'v') => {
                    let ends = |at: &usize| b" \t\r\n{}[],:\"".contains(&self.bytes[*at]);
                    end = (at..self.bytes.len()).find(ends).ok_or(self.bytes.len())?;
                    b','
                }
                _ => return Err(at),
            };
            at = end;
            if open.is_empty() {
                return Ok(at);
            }
        }
    }

    fn text_end(&self, mut at: usize) -> Result<usize, usize> {
        loop {
            match self.bytes.get(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') if self.bytes.get(at + 1).is_some_and(|byte| *byte != b'\n') => at += 2,
                Some(b'\\') => return Err(at + 1),
                None | Some(b'\n') => return Err(at),
                Some(_) => at += 1,
            }
        }
    }

    fn push(&mut self, range: Range<usize>, value_end: usize) {
        let bytes = range.len();
        let kept = range.start..range.end.min(range.start + KEPT_BYTES.min(self.record_bytes_max));
        let record = if bytes > self.record_bytes_max {
            let size = format!("{bytes} bytes; the limit is {}", self.record_bytes_max);
            (self.bytes[kept].to_vec(), Some(size))
        } else {
            (self.bytes[range.start..value_end].to_vec(), None)
        };
        self.records.push(record);
    }
}

/// Pieces that are likely to make both sound and broken records.
fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just("{\"a\": 1}"),
        4 => Just("{\"a\": 1, \"b\": \"x\"}\n"),
        2 => Just("{\"a\": {\"b\": [1, {}]}}\n"),
        4 => Just("{"),
        4 => Just("}"),
        4 => Just("\""),
        4 => Just("\n"),
        1 => Just("\r\n"),
        2 => Just("["),
        2 => Just("]"),
        3 => Just(","),
        2 => Just(":"),
        3 => Just("\"a\""),
        2 => Just("1"),
        2 => Just(" "),
        1 => Just("\\"),
        1 => Just("{\n"),
        1 => Just("  {\n"),
        1 => Just("}, {"),
        1 => Just("\"a\": \n"),
        1 => Just("\u{feff}"),
        1 => Just("\u{feff}["),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn however_bytes_are_cut_the_records_are_those_of_the_rule(
        bytes in inputs(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        record_bytes_max in prop_oneof![Just(1usize << 20), 1usize..40],
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let expected = Reference::records(&bytes, record_bytes_max);
        prop_assert_eq!(&framed(&bytes, &[], record_bytes_max), &expected);
        prop_assert_eq!(&framed(&bytes, &cuts, record_bytes_max), &expected);
        let every: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(&framed(&bytes, &every, record_bytes_max), &expected);
    }

    #[test]
    fn objects_are_found_however_they_are_written(
        objects in prop::collection::vec(objects(), 1..6),
        how in 0..6,
    ) {
        let compact: Vec<String> = objects.iter().map(ToString::to_string).collect();
        let pretty = || objects.iter().map(|object| format!("{object:#}")).collect::<Vec<_>>();
        let text = match how {
            0 => compact.join("\n"),
            1 => compact.concat(),
            2 => pretty().join("\n"),
            3 => pretty().concat(),
            4 => serde_json::to_string(&objects).expect("values"),
            _ => serde_json::to_string_pretty(&objects).expect("values"),
        };
        let read = |text: &String| serde_json::from_str(text).expect("an object");
        let found: Vec<serde_json::Value> = records(&text).iter().map(read).collect();
        prop_assert_eq!(found, objects);
    }
}

fn objects() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i32>().prop_map(Into::into),
        "[a-z{}\\[\\]\",:\\\\\n ]{0,8}".prop_map(Into::into),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        let members = prop::collection::btree_map("[a-z{\"]{0,3}", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Into::into),
            members
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    });
    prop::collection::btree_map("[a-z]{0,3}", value, 0..4)
        .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into())
}
