//! Writing Parquet, and nothing else: what a pipeline that ends in Parquet is measured against.
//! `tests/bench/parquet.py` runs both.
//!
//! ```text
//! cargo bench -p pinhost --bench parquet -- FOLDER ROUNDS
//! ```
//!
//! The rows of the folder's Parquet files are read into memory, in batches as pinhost has them, and
//! written again on one core, a file for each that there was, with the properties that pinhost sets.

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

const BATCH_ROWS: usize = 1024;

/// pinhost's own default.
const ROW_GROUP_ROWS: usize = 128 * 1024;

fn main() {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [folder, rounds] = &arguments[..] else {
        // As one of all benches it has no rows.
        println!("FOLDER ROUNDS: see tests/bench/parquet.py");
        return;
    };
    let files = read(Path::new(folder));
    let rows: usize = files.iter().flatten().map(RecordBatch::num_rows).sum();
    assert!(rows > 0, "no rows in {folder}");
    for _ in 0..rounds.parse().expect("a number") {
        let began = Instant::now();
        let bytes: usize = files.iter().map(|batches| write(batches)).sum();
        println!("{:.0} {bytes}", rows as f64 / began.elapsed().as_secs_f64());
    }
}

fn read(folder: &Path) -> Vec<Vec<RecordBatch>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            let file = File::open(path).expect("a file");
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
            let reader = reader.with_batch_size(BATCH_ROWS).build().expect("rows");
            files.push(reader.collect::<Result<_, _>>().expect("rows"));
        }
    }
    files
}

fn write(batches: &[RecordBatch]) -> usize {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let schema = batches[0].schema();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema, Some(properties)).expect("a schema for Parquet");
    for batch in batches {
        writer.write(batch).expect("into memory");
    }
    writer.into_inner().expect("into memory").len()
}
