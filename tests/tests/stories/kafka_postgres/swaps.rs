//! Rules that are changed while records flow, in two processes of which one is killed now and then.

use std::fs;

use pinhost_tests::running::{Running, wait_until};
use pinhost_tests::{guests, pinhost};
use tempfile::TempDir;

use super::story::{Mode, Story, TIME};

/// What begins every key: how much of it a rule takes away marks its generation.
const MARKS: [&str; 4] = ["k", "ke", "key", "key "];

const NOTHING: &str = "{ do: nothing }";

/// A rule whose rows are marked, and that does something odd.
fn steps(mark: &str, odd: &str) -> String {
    format!(
        "  steps:\n    - {{ plugin: strip-prefix, with: {{ column: m, prefix: '{mark}' }} }}\n    \
         - {{ id: odd, plugin: ./odd.wasm, with: {odd} }}\n  output: [part, at, k, n, m]\n"
    )
}

/// Rows whose mark is not that of the generation which cleaned their range.
const MISMARKED: &str = "\
    SELECT count(*) FROM posts p WHERE NOT EXISTS ( \
        SELECT FROM pinhost.lineage l JOIN pinhost.generation g ON g.digest = l.generation \
        WHERE l.lane LIKE '%-' || p.part \
          AND p.at >= split_part(l.from_position, '@', 1)::bigint \
          AND p.at < split_part(l.to_position, '@', 1)::bigint \
          AND p.m = substr(p.k, 1 + length(g.resolved::json #>> '{rule,steps,0,with,prefix}')))";

struct Rule {
    story: Story,
    steps: String,
}

impl Rule {
    fn save(&mut self, mark: &str, odd: &str) {
        let next = steps(mark, odd);
        let file = self.story.folder.path().join("p.yaml");
        let yaml = fs::read_to_string(&file).expect("UTF-8").replace(&self.steps, &next);
        fs::write(file.with_extension("draft"), yaml).expect("a file");
        fs::rename(file.with_extension("draft"), file).expect("a file");
        self.steps = next;
    }
}

/// A story whose rule has marks, and does nothing odd.
fn marked(partitions: i32) -> Rule {
    let story = Story::new(Mode::Append, partitions);
    story.execute("ALTER TABLE posts ADD COLUMN m text");
    fs::copy(guests::hostile(), story.folder.path().join("odd.wasm")).expect("a copy");
    let fields = "    n: { type: integer, required: true }\n";
    let more = "    m: { type: text, path: k }\n    text: { type: text, path: k }\n";
    let first = steps(MARKS[0], NOTHING);
    // One key in two other fields is refused: the mark comes with the record.
    let more = more.replace("path: k", "from: $key");
    story.change(fields, &format!("{fields}{more}{first}"));
    Rule { story, steps: first }
}

fn times(running: &[Running], what: &str) -> usize {
    running.iter().map(|process| process.log().matches(what).count()).sum()
}

#[test]
fn rows_are_one_generations_whatever_is_saved_and_whoever_is_killed() {
    let mut rule = marked(4);
    let feed = rule.story.ledger().feed(rule.story.runtime.handle(), 1_000);
    let mut running = vec![rule.story.start()];
    rule.story.reads(500, &running[0]);
    running.push(rule.story.start());

    for (number, (mark, odd, says)) in [
        (1, NOTHING, "took over from"),
        (2, "{ do: trap }", "refused, and generation"),
        (2, NOTHING, "took over from"),
        (3, "{ do: what nobody knows }", "refused, and generation"),
        (0, "{ do: trap-after-rows, n: 4000 }", "rolled back from generation"),
        (3, NOTHING, "took over from"),
        (0, NOTHING, "took over from"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = times(&running, says);
        rule.save(MARKS[mark], odd);
        let told = || running.iter().map(Running::log).collect::<String>();
        wait_until(TIME, || times(&running, says) > before, told);
        let read = usize::try_from(rule.story.read()).expect("a count");
        rule.story.reads(read + 500, &running[0]);
        if number % 2 == 1 {
            let unlucky = number / 2 % 2;
            running[unlucky].kill();
            running[unlucky] = rule.story.start();
        }
    }
    let ledger = feed.stop(rule.story.runtime.handle());
    rule.story.reads(ledger.sent.len(), &running[0]);
    running.into_iter().for_each(Running::drain);
    rule.story.is_sound(&ledger);
    assert_eq!(rule.story.number(MISMARKED), 0);
    let marks = "SELECT count(DISTINCT length(k) - length(m)) FROM posts";
    assert_eq!(rule.story.number(marks), 4, "each of them made rows");
}

#[test]
fn what_a_bad_rule_still_had_at_hand_when_the_next_took_over_is_cleaned_again() {
    let mut rule = marked(2);
    let mut ledger = rule.story.ledger();
    rule.story.send(&mut ledger, 100);
    let running = rule.story.start();
    rule.story.reads(100, &running);
    rule.save(MARKS[1], "{ do: loop-forever, where: key rare }");
    running.says("took over from", TIME);

    // It takes seconds to find out which records those are.
    let rare = ["key common", "key rare"].repeat(3).into_iter().map(|key| (0, key.to_owned()));
    rule.story.runtime.block_on(ledger.send_to(rare));
    // The next rule is tried on others, as they are those that came last.
    let common = (0..20_000).map(|number| (1, format!("key {number}")));
    rule.story.runtime.block_on(ledger.send_to(common));
    rule.save(MARKS[2], NOTHING);
    rule.story.reads(ledger.sent.len(), &running);
    running.says("rolled back from generation", TIME);
    running.drain();
    rule.story.is_sound(&ledger);
    assert_eq!(rule.story.number(MISMARKED), 0);
}

/// Two processes run the same, each from a file of its own; of one of them somebody wants the rule before.
/// The other one may have it at hand, or has found the new one good meanwhile.
#[track_caller]
fn the_other_goes_back(probation: &str, says: &str) {
    let mut rule = marked(2);
    let other = TempDir::new().expect("a folder");
    let copied = |rule: &Rule| {
        let written = fs::read_to_string(rule.story.folder.path().join("p.yaml")).expect("UTF-8");
        let draft = other.path().join("p.draft");
        let limits = format!("limits: {{ probation: {{ time: {probation} }} }}\n");
        fs::write(&draft, format!("{written}{limits}")).expect("a file");
        fs::rename(draft, other.path().join("p.yaml")).expect("a file");
    };
    fs::copy(guests::hostile(), other.path().join("odd.wasm")).expect("a copy");
    copied(&rule);
    let feed = rule.story.ledger().feed(rule.story.runtime.handle(), 500);
    let one = rule.story.start();
    rule.story.reads(500, &one);
    let alone = rule.story.claims();
    let two = Running::start(pinhost!(), other.path(), &["p.yaml"]);
    let is_shared = || rule.story.claims() != alone;
    wait_until(TIME, is_shared, || two.log());

    rule.save(MARKS[1], NOTHING);
    copied(&rule);
    for process in [&one, &two] {
        process.says("took over from", TIME);
    }
    let by_both = "SELECT count(DISTINCT lane) FROM pinhost.lineage \
                   WHERE generation <> (SELECT generation FROM pinhost.lineage ORDER BY id LIMIT 1)";
    wait_until(TIME, || rule.story.number(by_both) == 2, || two.log());
    if probation != "10m" {
        two.says("stays: its probation is over", TIME);
    }
    let claims = rule.story.claims();
    rule.story.command(&["rollback", "p.yaml", "odd"]).refused(1, &["step `odd` was the same"]);
    rule.story.command(&["rollback", "p.yaml", "strip-prefix"]).done();
    two.says(says, TIME);
    assert_eq!(rule.story.claims(), claims, "no lane was claimed for that");
    let before = usize::try_from(rule.story.read()).expect("a count");
    rule.story.reads(before + 500, &two);

    let ledger = feed.stop(rule.story.runtime.handle());
    rule.story.reads(ledger.sent.len(), &one);
    let known = rule.story.command(&["generations", "p.yaml", "--json"]).done().json();
    let bad: Vec<_> = known
        .as_array()
        .expect("generations")
        .iter()
        .filter(|it| it["known"]["verdict"] == "rolled_back")
        .map(|it| it["known"]["reason"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(bad, ["somebody asked for it"], "{known}");
    [one, two].into_iter().for_each(Running::drain);
    rule.story.is_sound(&ledger);
    assert_eq!(rule.story.number(MISMARKED), 0);
    let last = "SELECT count(DISTINCT generation) FROM pinhost.lineage WHERE id IN \
                (SELECT max(id) FROM pinhost.lineage GROUP BY lane)";
    assert_eq!(rule.story.number(last), 1, "both are at the first one");
}

#[test]
fn a_generation_that_one_process_rolls_back_is_rolled_back_in_another() {
    the_other_goes_back("10m", "another process found: somebody asked for it");
}

#[test]
fn a_generation_that_one_process_rolls_back_goes_where_another_has_found_it_good() {
    the_other_goes_back("10ms", "was rolled back in another process: somebody asked for it");
}
