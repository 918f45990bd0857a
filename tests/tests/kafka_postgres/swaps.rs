//! Rules that are changed while records flow, in two processes of which one is killed now and then.

use std::fs;

use pinhost_tests::guests;
use pinhost_tests::running::{Running, wait_until};

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

fn times(running: &[Running], what: &str) -> usize {
    running.iter().map(|process| process.log().matches(what).count()).sum()
}

#[test]
fn rows_are_one_generations_whatever_is_saved_and_whoever_is_killed() {
    let story = Story::new(Mode::Append, 4);
    story.execute("ALTER TABLE posts ADD COLUMN m text");
    fs::copy(guests::hostile(), story.folder.path().join("odd.wasm")).expect("a copy");
    let fields = "    n: { type: integer, required: true }\n";
    let more = "    m: { type: text, path: k }\n    text: { type: text, path: k }\n";
    let first = steps(MARKS[0], NOTHING);
    // One key in two other fields is refused: the mark comes with the record.
    let more = more.replace("path: k", "from: $key");
    story.change(fields, &format!("{fields}{more}{first}"));
    let mut rule = Rule { story, steps: first };
    let feed = rule.story.ledger().feed(rule.story.runtime.handle(), 1_000);
    let mut running = vec![rule.story.start()];
    rule.story.reads(500, &running[0]);
    running.push(rule.story.start());

    for (number, (mark, odd, says)) in [
        (1, NOTHING, "took over from"),
        (2, "{ do: trap }", "refused, and generation"),
        (2, NOTHING, "took over from"),
        (3, "{ do: what nobody knows }", "refused, and generation"),
        (0, "{ do: trap-after-rows, n: 1500 }", "rolled back from generation"),
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
