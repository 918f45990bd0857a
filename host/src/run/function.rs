//! A rule as a function of batches that somebody else holds: columns or JSON texts in, rows and rejects out.
//!
//! There is no source, no sink and no position. A record's name is its number, counted from the first one
//! that was given; rows come out in that order. `host/python` is a front for this.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use bytes::Bytes;

use super::chain::ChainHalted;
use super::clean::ByRule;
use super::examples::Examples;
use super::supervise::BATCH;
use crate::connect::{PipelineSink, PipelineSource};
use crate::decode::{DecodeLimits, Intake, IntakeFault};
use crate::pipeline::{Document, Pipeline, RestoreError, Rule, Tombstones, unwrap_of};
use crate::plugin::Sandbox;
use crate::record::ndjson::RowWriter;
use crate::record::{Batch, Generation, Position, RawBatch, RawFault, RawRecord, memory};
use crate::sink::columns;
use crate::sink::stdout::{Stdout, StdoutSinkConfig};
use crate::source::stdin::{Stdin, StdinSourceConfig};

/// Everything that decides what becomes of a record. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct RuleFunction {
    rule: Arc<Rule>,
    unwrap: Option<Box<str>>,
    limits: DecodeLimits,
    schema: SchemaRef,
}

/// How batches of one schema hold records.
#[derive(Debug)]
pub struct FunctionInput(Records);

#[derive(Debug)]
enum Records {
    Columns(Intake),
    /// In the column with this number.
    Json(usize),
}

/// Why a batch has no JSON to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonColumnFault {
    #[error("there is no column `value`: say which one of {found} holds the records")]
    Unnamed { found: String },
    #[error("there is no column `{column}`; there are {found}")]
    Missing { column: String, found: String },
    #[error("column `{column}` is {found}, and records are text or bytes")]
    Misfit { column: String, found: String },
}

/// Runs the function on one thread, whose stack needs at least 2 MiB for the plugins.
#[derive(Debug)]
pub struct FunctionWorker {
    by_rule: ByRule,
    schema: SchemaRef,
}

/// What became of the records of a batch.
#[derive(Debug)]
pub struct FunctionRows {
    pub records: u64,
    pub rows: RecordBatch,
    /// The record of each row.
    pub origins: Vec<u64>,
    /// Ascending by record.
    pub rejects: Vec<FunctionReject>,
    /// Records that steps removed on purpose.
    pub dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionReject {
    pub record: u64,
    /// The id of the step. None if the record could not be read.
    pub step: Option<Arc<str>>,
    pub reason: String,
    pub detail: Option<String>,
    /// The record's bytes. If it came as columns, its fields as JSON.
    pub value: Option<Bytes>,
}

/// A pipeline or a rule between standard input and standard output, instead of its own source and sink.
/// Records are unwrapped as those of its source.
pub fn piped(document: Document) -> Pipeline {
    let (source, sink) = ends(document.unwrap());
    document.piped(source, sink)
}

/// The same for a generation that a ledger or another process has kept.
pub fn restored(kept: &Generation, sandbox: &Sandbox) -> Result<Pipeline, RestoreError> {
    let (source, sink) = ends(unwrap_of(kept)?);
    Pipeline::of_generation(kept, source, sink, sandbox)
}

fn ends(unwrap: Option<String>) -> (PipelineSource, PipelineSink) {
    let stdin = StdinSourceConfig { unwrap, ..StdinSourceConfig::default() };
    let sink = PipelineSink::new(&Stdout, StdoutSinkConfig::default());
    (PipelineSource::new(&Stdin, stdin), sink)
}

impl RuleFunction {
    /// None if the pipeline has no rule.
    pub fn of(pipeline: &Pipeline) -> Option<Self> {
        let rule = Arc::clone(pipeline.rule.as_ref()?);
        let schema = columns::schema(rule.columns());
        let unwrap = pipeline.source.unwrap().map(String::into_boxed_str);
        Some(Self { rule, unwrap, limits: pipeline.limits.to_decode_limits(), schema })
    }

    pub fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    pub fn limits(&self) -> DecodeLimits {
        self.limits
    }

    /// The columns of rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns that records may have. Aliases of fields and many other types fit as well.
    pub fn input_schema(&self) -> SchemaRef {
        columns::schema(&self.rule.input())
    }

    /// For batches of this schema, which hold the fields of records as columns.
    ///
    /// # Errors
    /// Everything that is wrong with the schema.
    pub fn columns(&self, schema: &Schema) -> Result<FunctionInput, Vec<IntakeFault>> {
        let intake = Intake::new(&self.rule.fields, schema, self.limits)?;
        Ok(FunctionInput(Records::Columns(intake)))
    }

    /// For batches of this schema, which hold records as JSON: in the named column, by default in `value`
    /// or in the only one.
    pub fn json(
        &self,
        schema: &Schema,
        column: Option<&str>,
    ) -> Result<FunctionInput, JsonColumnFault> {
        let found = || {
            let names = schema.fields().iter().map(|field| format!("`{}`", field.name()));
            names.collect::<Vec<_>>().join(", ")
        };
        let at = match (column, schema.fields().len()) {
            (Some(column), _) => {
                let missing = || JsonColumnFault::Missing { column: column.into(), found: found() };
                schema.index_of(column).map_err(|_| missing())?
            }
            (None, 1) => 0,
            (None, _) => {
                let unnamed = |_| JsonColumnFault::Unnamed { found: found() };
                schema.index_of("value").map_err(unnamed)?
            }
        };
        let field = schema.field(at);
        let fits = match field.data_type() {
            DataType::Dictionary(_, values) => is_json(values),
            other => is_json(other),
        };
        if fits {
            return Ok(FunctionInput(Records::Json(at)));
        }
        let (column, found) = (field.name().clone(), field.data_type().to_string());
        Err(JsonColumnFault::Misfit { column, found })
    }

    pub fn worker(&self) -> FunctionWorker {
        let nowhere = Tombstones::Reject("there is no table to delete a row from".to_owned());
        let (unwrap, limits) = (self.unwrap.as_deref(), self.limits);
        let by_rule = ByRule::new(&self.rule, &nowhere, unwrap, limits);
        FunctionWorker { by_rule, schema: Arc::clone(&self.schema) }
    }
}

fn is_json(found: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary, LargeUtf8, Null, Utf8, Utf8View};
    matches!(found, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | Null)
}

impl FunctionInput {
    /// How many rows of this batch a worker is given at once.
    pub fn rows_at_once(&self, batch: &RecordBatch) -> usize {
        let bytes = match &self.0 {
            Records::Columns(_) => memory(batch.columns()),
            Records::Json(column) => memory(&batch.columns()[*column..=*column]),
        };
        let row_bytes = bytes / batch.num_rows().max(1);
        (BATCH.bytes / row_bytes.max(1)).clamp(1, BATCH.records)
    }

    /// Reads rows. The first of them is record number `from`.
    pub fn read(&self, rows: &RecordBatch, from: u64) -> RawBatch {
        match &self.0 {
            Records::Columns(intake) => of_columns(intake, rows, from),
            Records::Json(column) => of_json(rows.column(*column), from),
        }
    }
}

fn of_columns(intake: &Intake, rows: &RecordBatch, from: u64) -> RawBatch {
    let taken = intake.take(rows);
    let records = (from..).zip(taken.rejects).map(|(at, reject)| RawRecord {
        value: None,
        fault: reject.map(|reject| {
            let reject = *reject;
            Box::new(RawFault { reason: reject.reason, detail: reject.detail })
        }),
        ..RawRecord::value(Position::number(at), 0..0)
    });
    raw(Bytes::new(), records.collect(), Some(taken.batch), from)
}

/// Copies no texts, unless they come in another layout.
fn of_json(column: &ArrayRef, from: u64) -> RawBatch {
    let to = match column.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        _ => DataType::Utf8,
    };
    let column = cast(column, &to).expect("texts and bytes have the same forms");
    let (offsets, values): (&OffsetBuffer<i32>, &Buffer) = match column.data_type() {
        DataType::Binary => {
            (column.as_binary::<i32>().offsets(), column.as_binary::<i32>().values())
        }
        _ => (column.as_string::<i32>().offsets(), column.as_string::<i32>().values()),
    };
    let (first, last) = (offsets[0] as usize, offsets[column.len()] as usize);
    let records = offsets.windows(2).zip(from..).enumerate().map(|(row, (ends, at))| {
        let value = ends[0] as usize - first..ends[1] as usize - first;
        let mut record = RawRecord::value(Position::number(at), value);
        if column.is_null(row) {
            record.value = None;
        }
        record
    });
    let records = records.collect();
    let values = values.slice_with_length(first, last - first);
    raw(Bytes::from_owner(values), records, None, from)
}

fn raw(bytes: Bytes, records: Vec<RawRecord>, columns: Option<Batch>, from: u64) -> RawBatch {
    let to = from + records.len() as u64;
    RawBatch {
        bytes,
        records,
        headers: Vec::new(),
        columns,
        topic: None,
        partition: None,
        from: Position::number(from),
        to: Position::number(to),
        past: None,
    }
}

impl FunctionWorker {
    /// Cleans what [`FunctionInput::read`] has read. `from` is the number of its first record.
    pub fn clean(&mut self, raw: &RawBatch, from: u64) -> Result<FunctionRows, Box<ChainHalted>> {
        let cleaned = self.by_rule.clean(raw, &Examples::of_batches(0))?;
        let rows = cleaned.rows.expect("a rule gives columns");
        let number = |record: u32| from + u64::from(record);
        let writer = raw.columns.as_ref().filter(|_| !cleaned.dead_letters.is_empty());
        let writer = writer.map(RowWriter::new);
        let value = |record: usize| match &writer {
            None => raw.value(record),
            Some(writer) => {
                let mut row = Vec::new();
                writer.write(record, &mut row);
                row.pop();
                Some(Bytes::from(row))
            }
        };
        let rejects = cleaned.dead_letters.into_iter().map(|letter| FunctionReject {
            record: number(letter.record),
            value: value(letter.record as usize),
            step: letter.step,
            reason: letter.reason,
            detail: letter.detail,
        });
        Ok(FunctionRows {
            records: raw.records.len() as u64,
            rejects: rejects.collect(),
            rows: columns::record_batch(&self.schema, &rows),
            origins: cleaned.origins.into_iter().map(number).collect(),
            dropped: cleaned.dropped.len() as u64,
        })
    }
}
