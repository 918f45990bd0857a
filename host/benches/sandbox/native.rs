//! The plugin crates without a sandbox, linked through the SDK's native entry: the other side of the
//! ratios. What they answer is checked and applied by the same code as a sandboxed plugin's answer.

use arrow::array::AsArray;
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int64Type;
use bytesize::ByteSize;
use pinhost::plugin::v1::{apply, contract::types as host};
use pinhost::plugin::{Cleaned, Plan, Step};
use pinhost::record::{Batch, Kind};
use pinhost_plugin::contract as guest;
use pinhost_plugin::native::Native;
use pinhost_plugin::view::{ColumnData, Texts, Values};

const OUTPUT_MAX: ByteSize = ByteSize::mib(64);

/// Cleans rows, whatever the type of the plugin.
type Clean = Box<dyn Fn(usize, &[ColumnData<'_>]) -> guest::Cleaned>;

pub struct NativeChain {
    steps: Vec<(Clean, Plan)>,
}

impl NativeChain {
    /// The steps as they were configured for the sandbox.
    pub fn new(steps: &[Step], configs: [&str; 4]) -> Self {
        let linked = [
            linked::<placeholders::Placeholders>,
            linked::<follower_count::FollowerCount>,
            linked::<tags::Tags>,
            linked::<strip_prefix::StripPrefix>,
        ];
        let steps = steps.iter().zip(linked).zip(configs);
        Self {
            steps: steps
                .map(|((step, linked), config)| (linked(step, config), step.plan().clone()))
                .collect(),
        }
    }

    pub fn clean(&self, batch: &Batch) -> Batch {
        let mut batch = batch.clone();
        for (clean, plan) in &self.steps {
            let columns: Vec<_> = plan.reads.iter().map(|read| borrowed(&batch, *read)).collect();
            let answer = wired(clean(batch.rows(), &columns));
            let cleaned: Cleaned =
                apply(plan, &batch, answer, OUTPUT_MAX).expect("an answer that holds");
            batch = cleaned.batch;
        }
        batch
    }
}

fn linked<P: pinhost_plugin::Plugin>(step: &Step, config: &str) -> Clean {
    let columns = step.input().iter().map(|field| guest::Column {
        name: field.name.to_string(),
        kind: match field.kind {
            Kind::Integer => guest::ColumnType::Integer,
            Kind::Text => guest::ColumnType::Text,
            Kind::TextList => guest::ColumnType::TextList,
            kind => panic!("posts have no columns of kind {kind}"),
        },
    });
    let native = Native::<P>::configure(config, columns.collect());
    let native = native.unwrap_or_else(|findings| panic!("{findings:?}"));
    Box::new(move |rows, columns| native.clean(rows, columns).expect("clean posts"))
}

/// A column as the plugin reads it, without a copy.
fn borrowed(batch: &Batch, read: usize) -> ColumnData<'_> {
    let column = &batch.columns()[read];
    let values = match batch.fields()[read].kind {
        Kind::Integer => Values::Integer(column.as_primitive::<Int64Type>().values()),
        Kind::Text => {
            let texts = column.as_string::<i32>();
            let offsets = texts.offsets().inner().inner().typed_data();
            #[expect(unsafe_code, reason = "as in the sandbox, where the host promises as much")]
            // SAFETY: Arrow's offsets and UTF-8 hold, and a decoded batch starts at offset 0.
            Values::Text(unsafe { Texts::new_unchecked(offsets, texts.values()) })
        }
        kind => panic!("the steps read no columns of kind {kind}"),
    };
    ColumnData { values, valid: column.nulls().map(NullBuffer::validity) }
}

/// The guest's types as the host's: what the sandbox does by copying out of the guest's memory.
fn wired(cleaned: guest::Cleaned) -> host::Cleaned {
    host::Cleaned {
        changes: cleaned.changes.into_iter().map(change).collect(),
        dropped: cleaned.dropped,
        rejected: Vec::new(),
        tallies: cleaned.tallies,
    }
}

fn change(change: guest::Change) -> host::Change {
    match change {
        guest::Change::Unchanged => host::Change::Unchanged,
        guest::Change::Nulls(bits) => host::Change::Nulls(bits),
        guest::Change::Patched(patch) => {
            host::Change::Patched(host::Patch { rows: patch.rows, data: data(patch.data) })
        }
        guest::Change::Slices(slices) => host::Change::Slices(host::Slices {
            column: slices.column,
            starts: slices.starts,
            ends: slices.ends,
            valid: slices.valid,
        }),
        guest::Change::ListSlices(slices) => host::Change::ListSlices(host::ListSlices {
            column: slices.column,
            offsets: slices.offsets,
            starts: slices.starts,
            ends: slices.ends,
            valid: slices.valid,
        }),
        guest::Change::Replaced(replaced) => host::Change::Replaced(data(replaced)),
    }
}

fn data(data: guest::ColumnData) -> host::ColumnDataResult {
    let values = match data.values {
        guest::Values::Integer(values) => host::ValuesResult::Integer(values),
        guest::Values::Text(texts) => host::ValuesResult::Text(self::texts(texts)),
        guest::Values::TextList(lists) => host::ValuesResult::TextList(host::TextListsResult {
            offsets: lists.offsets,
            items: texts(lists.items),
        }),
        values => panic!("the steps write no such values: {values:?}"),
    };
    host::ColumnDataResult { values, valid: data.valid }
}

fn texts(texts: guest::Texts) -> host::TextsResult {
    host::TextsResult { offsets: texts.offsets, bytes: texts.bytes }
}
